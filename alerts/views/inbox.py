"""Show the inbox: active alerts by severity, and alerts in other states in tabs. The URL contains the filters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Page, Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from alerts.extension_points import Severity
from alerts.messages import format_clear_condition, format_value
from alerts.models import SystemAlert
from alerts.queries import inbox as queries
from alerts.queries import inbox_groups, search
from alerts.queries.silences import silences_in_force
from alerts.views import CHANGE, may_view
from core.lib.http import json_response
from core.lib.search_terms import quote

PAGE_SIZE = 50


@require_GET
@may_view
def inbox(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    found = search.find_alerts(request.GET, user=request.user, now=now)
    given = {
        "state": found.state,
        "by": found.group_by,
        **{k: v for k, v in found.filters.items() if v},
    }
    page: Page[Any]
    if found.group_by:
        page = Paginator(
            inbox_groups.list_families(found.alerts, found.group_by), PAGE_SIZE
        ).get_page(request.GET.get("page"))
        rows = _build_family_rows(page, found.group_by, given, now)
    else:
        page = Paginator(
            found.alerts.select_related("rule", "acknowledged_by"), PAGE_SIZE
        ).get_page(request.GET.get("page"))
        rows = [_build_row(alert, now) for alert in page]
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
        "rows": rows,
        "match_count": found.alerts.count() if page.has_other_pages() or found.group_by else 0,
        "newest": found.alerts.aggregate(newest=Max("pk"))["newest"] or "",
        "query": urlencode(given),
        "problem": "; ".join(found.problems).capitalize(),
        "search_keys": ", ".join(search.KEYS),
        "group_by": found.group_by,
        "groupings": search.GROUPINGS.items(),
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
                "url": _build_url({**found.filters, "by": found.group_by, "state": name}),
                "is_current": name == found.state,
                "count": counts.get(name),
            }
            for name, label in search.STATES.items()
        ],
        "state": found.state,
        "filters": found.filters,
        "has_filters": any(found.filters.values()),
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


@require_GET
@may_view
def complete(request: HttpRequest) -> HttpResponse:
    """Return suggestions for the search line. The parameter `q` is the text before the cursor."""
    return json_response(search.complete(request.GET.get("q", "")))


def _build_family_rows(
    page: "Page[Any]", group_by: str, given: Mapping[str, str], now: datetime
) -> list[dict[str, object]]:
    """Return a row for each family of alerts. A family with a single alert is shown as this alert."""
    families = list(page)
    single = {family.only_alert for family in families if family.only_alert}
    alerts = SystemAlert.objects.filter(pk__in=single).select_related("rule", "acknowledged_by")
    by_pk = {alert.pk: alert for alert in alerts}
    names = inbox_groups.family_names(group_by, [family.value for family in families])
    rows = []
    for family in families:
        if family.only_alert in by_pk:
            rows.append(_build_row(by_pk[family.only_alert], now))
            continue
        key = inbox_groups.SEARCH_KEYS[group_by]
        line = f"{given.get('q', '')} {key}:{quote(family.value)}".strip()
        url = _build_url({**given, "by": "", "q": line})
        name = names.get(family.value) or family.value or "No source"
        rows.append({"family": family, "name": name, "url": url})
    return rows


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
