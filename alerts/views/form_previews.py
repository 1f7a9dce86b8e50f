"""Show previews in the admin forms of rules and silences."""

import logging
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from alerts.extension_points import metric_readers
from alerts.matchers_field import MatchersField
from alerts.messages import format_value
from alerts.models import AlertRule
from alerts.queries import rule_preview as previews
from alerts.queries import silences
from alerts.rule_form import DEFAULTS
from alerts.views import may_view
from core.lib.app_access import sees_every_app
from core.lib.forms import SpanField, parse_span

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
SPANS = {"window": SpanField, "reopen_window": SpanField}
LimitsForm = modelform_factory(AlertRule, fields=LIMITS, field_classes=SPANS)
TrialForm = modelform_factory(
    AlertRule, fields=("reader", "selector", "unit", "below", *LIMITS), field_classes=SPANS
)
DEFAULT_WINDOW = timedelta(minutes=15)
OF_EVERY_APP = (
    "No preview is available, because it would contain apps that you are not allowed to see."
)
log = logging.getLogger(__name__)


@require_GET
@may_view
def rule_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how often the rule would have fired with the values in the form, which may be unsaved."""
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
def new_rule_preview(request: HttpRequest) -> HttpResponse:
    """Show the current value and the last day of the metric in the form of a new rule, with the form's limits."""
    given = {name: value for name, value in request.GET.items() if value != ""}
    form = TrialForm({**DEFAULTS, **given})
    context: dict[str, object] = {}
    if not sees_every_app():
        context["problem"] = OF_EVERY_APP
    elif not (given.get("reader") and given.get("selector") and given.get("threshold")):
        context["problem"] = "Choose a metric and a threshold to see a preview."
    elif not form.is_valid() or given["reader"] not in metric_readers:
        context["problem"] = "These limits are invalid: " + " ".join(
            str(message) for messages in form.errors.values() for message in messages
        )
    else:
        rule = form.save(commit=False)
        reader = metric_readers.get(rule.reader)
        rule.unit = rule.unit or reader.unit
        try:
            trial = previews.try_rule(rule, now=timezone.now())
        except Exception:
            # The reader belongs to another app, and the form must work even if the reader fails.
            log.exception("preview failed", extra={"reader": rule.reader})
            context["problem"] = (
                "The portal could not read this metric. The portal's log contains the error."
            )
        else:
            context |= {
                "trial": trial,
                "current": [
                    (
                        ", ".join(value for _, value in reading.labels),
                        format_value(reading.value, rule.unit),
                    )
                    for reading in trial.current
                ],
                "is_unknown": rule.selector not in reader.names(),
                "selector": rule.selector,
            }
    return render(request, "alerts/_trial.html", context)


@require_GET
@may_view
def known_metrics(request: HttpRequest) -> HttpResponse:
    """Show the recorded metrics of the chosen kind that match the search text, with their latest values."""
    name, text = request.GET.get("reader", ""), request.GET.get("selector", "").strip()
    context: dict[str, object] = {}
    if name in metric_readers and sees_every_app():
        try:
            window = parse_span(request.GET.get("window") or "")
        except ValueError:
            window = DEFAULT_WINDOW
        reader, now = metric_readers.get(name), timezone.now()
        found, total = previews.list_metrics(reader, text, window=window, now=now)
        if [metric for metric, _ in found] == [text]:
            # The text is the name of the chosen metric. Show all metrics, so that the user can choose another one.
            found, total = previews.list_metrics(reader, "", window=window, now=now)
        context = {
            "metrics": found,
            "hidden_count": total - len(found),
            "chosen": text,
            "has_any": bool(total or list(reader.names())),
        }
    return render(request, "alerts/_known_metrics.html", context)


@require_GET
@may_view
def silence_preview(request: HttpRequest) -> HttpResponse:
    """Show the active alerts that the matchers in the form would silence."""
    field = MatchersField()
    values = field.widget.value_from_datadict(request.GET, {}, "matchers")
    context: dict[str, object] = {}
    try:
        matchers = field.clean(values)
    except ValidationError as error:
        context["problem"] = " ".join(error.messages)
    else:
        count, alerts = silences.find_matching_alerts(matchers)
        context |= {"count": count, "alerts": alerts, "is_truncated": count > len(alerts)}
    return render(request, "alerts/_silence_preview.html", context)
