"""Previews in the admin forms of rules and silences."""

import json
from datetime import timedelta

from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from alerts.models import AlertRule
from alerts.queries import rule_preview as previews
from alerts.queries import silences
from alerts.views import may_view

LIMITS = (
    "threshold",
    "clear_threshold",
    "critical_threshold",
    "window",
    "breaches_needed",
    "out_of",
    "clear_after",
    "min_samples",
    "no_data",
    "severity",
    "reopen_window",
)
LimitsForm = modelform_factory(AlertRule, fields=LIMITS)


@require_GET
@may_view
def rule_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how often the rule would have fired with the current values of the form, saved or not."""
    rule = get_object_or_404(AlertRule, pk=pk)
    context: dict[str, object] = {"days": previews.PREVIEW_DAYS}
    form = LimitsForm(request.GET, instance=rule) if "threshold" in request.GET else None
    if form is not None and not form.is_valid():
        context["problem"] = "These limits are invalid: " + " ".join(
            str(message) for messages in form.errors.values() for message in messages
        )
    else:
        result = previews.preview_rule(rule, now=timezone.now())
        context |= {"result": result, "firing": timedelta(minutes=result.firing_minutes)}
    return render(request, "alerts/_preview.html", context)


@require_GET
@may_view
def silence_preview(request: HttpRequest) -> HttpResponse:
    """Show the active alerts that the matchers in the form would silence."""
    context: dict[str, object] = {}
    try:
        matchers = silences.parse_matchers(json.loads(request.GET.get("matchers") or "{}"))
    except json.JSONDecodeError:
        context["problem"] = "The matchers are not valid JSON."
    except ValueError as error:
        context["problem"] = str(error)
    else:
        count, alerts = silences.find_matching_alerts(matchers)
        context |= {"count": count, "alerts": alerts, "is_truncated": count > len(alerts)}
    return render(request, "alerts/_silence_preview.html", context)
