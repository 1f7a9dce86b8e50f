"""The inbox: active alerts with the worst first, and other states in tabs. The URL holds the filters."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from alerts.extension_points import Severity
from alerts.messages import format_clear_condition, format_value
from alerts.models import AlertState, SystemAlert
from alerts.queries import inbox as queries
from alerts.queries.silences import silences_in_force
from alerts.views import CHANGE, may_view

PAGE_SIZE = 50
STATES = {
    "": "Active",
    "overdue": "Overdue",
    "dismissed": "Dismissed",
    "resolved": "Resolved",
    "all": "All",
}
FILTERS = ("q", "severity", "type", "source")


@require_GET
@may_view
def inbox(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    state = request.GET.get("state", "")
    state = state if state in STATES else ""
    filters = {name: request.GET.get(name, "").strip()[:200] for name in FILTERS}
    alerts = _filter_by_state(state, now=now).filter(_build_filter(filters))
    page = Paginator(alerts.select_related("rule", "acknowledged_by"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    given = {"state": state, **{k: v for k, v in filters.items() if v}}
    summary = queries.active_summary(now=now)
    counts = {
        "": summary.total,
        "overdue": summary.overdue_count,
        "dismissed": summary.dismissed_count,
    }
    context = {
        **admin.site.each_context(request),
        "title": "Alerts",
        "lead": _build_lead(summary),
        "now": now,
        "rows": [_build_row(alert, now) for alert in page],
        "page": page,
        "page_summary": f"{page.start_index()} to {page.end_index()} of {page.paginator.count}",
        "run_url": reverse("alerts:check-run-now"),
        "previous_url": _build_url({**given, "page": page.number - 1})
        if page.has_previous()
        else "",
        "next_url": _build_url({**given, "page": page.number + 1}) if page.has_next() else "",
        "tabs": [
            {
                "label": label,
                "url": _build_url({**filters, "state": name}),
                "is_current": name == state,
                "count": counts.get(name),
            }
            for name, label in STATES.items()
        ],
        "state": state,
        "filters": filters,
        "has_filters": any(filters.values()),
        "severities": Severity.choices,
        "types": queries.list_types(),
        "sources": queries.list_sources(),
        "summary": summary,
        "dismissed_url": _build_url({"state": "dismissed"}),
        "silences": silences_in_force(now),
        "warnings": queries.list_warnings(unanswered=summary.unanswered_count),
        "may_change": request.user.has_perm(CHANGE),
        "here": request.get_full_path(),
    }
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "alerts/_inbox.html" if is_part else "alerts/inbox.html", context)


def _filter_by_state(state: str, *, now: datetime) -> queries.Alerts:
    visible = SystemAlert.objects.visible()
    match state:
        case "overdue":
            return SystemAlert.objects.overdue(now).worst_first()
        case "dismissed":
            return visible.filter(state=AlertState.DISMISSED).order_by("-dismissed_at", "-pk")
        case "resolved":
            return visible.filter(state=AlertState.RESOLVED).order_by("-resolved_at", "-pk")
        case "all":
            return visible.order_by("-opened_at", "-pk")
    return SystemAlert.objects.active().worst_first()


def _build_filter(filters: dict[str, str]) -> Q:
    found = Q()
    if text := filters["q"]:
        found &= Q(title__icontains=text) | Q(message__icontains=text) | Q(key__icontains=text)
    if filters["severity"] in Severity.values:
        found &= Q(severity=filters["severity"])
    if filters["type"]:
        found &= Q(alert_type=filters["type"])
    if filters["source"]:
        found &= Q(source=filters["source"])
    return found


def _build_row(alert: SystemAlert, now: datetime) -> dict[str, object]:
    return {
        "alert": alert,
        "state": "overdue" if alert.is_overdue(now) else alert.state,
        "is_unread": alert.is_active and alert.read_at is None,
        "value": format_value(alert.value, alert.unit) if alert.threshold is not None else "",
        "limit": format_value(alert.threshold, alert.unit) if alert.threshold is not None else "",
        "relation": "≤" if alert.rule and alert.rule.below else ">",
        "resolves_at": format_clear_condition(alert.rule) if alert.rule and alert.is_active else "",
    }


def _build_lead(summary: queries.ActiveSummary) -> str:
    if not summary.total:
        return f"{summary.headline}."
    parts = [f"{summary.total} active"]
    for count, word in (
        (summary.critical_count, "critical"),
        (summary.overdue_count, "overdue"),
        (summary.unread_count, "unread"),
    ):
        if count:
            parts.append(f"{count} {word}")
    return ", ".join(parts) + "."


def _build_url(parameters: Mapping[str, object]) -> str:
    kept = {name: value for name, value in parameters.items() if value}
    return reverse("alerts:alert-list") + (f"?{urlencode(kept)}" if kept else "")
