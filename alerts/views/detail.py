"""Show the page of an alert with its timeline, notifications and business impact."""

from datetime import timedelta

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from alerts.messages import format_clear_condition, format_value
from alerts.models import (
    UNFINISHED_STATES,
    AlertEvent,
    Notification,
    NotificationState,
    SystemAlert,
)
from alerts.queries import alert_page, silences
from alerts.queries.causes import onset_of_alert
from alerts.queries.impact import alert_impact
from alerts.views import CHANGE, may_view
from core.lib.app_access import limit
from impact.queries.causes import find_causes

TONES: dict[str, str] = {
    AlertEvent.Kind.OPENED: "is-critical",
    AlertEvent.Kind.REOPENED: "is-critical",
    AlertEvent.Kind.RAISED: "is-critical",
    AlertEvent.Kind.ESCALATED: "is-warning",
    AlertEvent.Kind.UNANSWERED: "is-critical",
    AlertEvent.Kind.UNDELIVERED: "is-warning",
    AlertEvent.Kind.FLAPPING: "is-warning",
    AlertEvent.Kind.RESOLVED: "is-ok",
    AlertEvent.Kind.COMMENT: "is-accent",
    AlertEvent.Kind.ACKNOWLEDGED: "is-accent",
    AlertEvent.Kind.DISMISSED: "is-accent",
}


@require_GET
@may_view
def alert_detail(request: HttpRequest, pk: int) -> HttpResponse:
    alert = get_object_or_404(
        limit(SystemAlert.objects.visible()).select_related(
            "rule", "acknowledged_by", "dismissed_by", "read_by", "resolved_by"
        ),
        pk=pk,
    )
    now = timezone.now()
    is_overdue = alert.is_overdue(now)
    silenced = silences.find_silence(alert, now)
    context = {
        **admin.site.each_context(request),
        "title": alert.title,
        "alert": alert,
        "now": now,
        "is_overdue": is_overdue,
        "state": "overdue" if is_overdue else alert.state,
        "silence": silenced[0] if silenced else None,
        "silence_ends_at": silenced[1] if silenced else None,
        "duration": alert.duration(now),
        "value": format_value(alert.value, alert.unit),
        "limit": format_value(alert.threshold, alert.unit) if alert.threshold is not None else "",
        "relation": "≤" if alert.rule and alert.rule.below else ">",
        "resolves_at": format_clear_condition(alert.rule) if alert.rule else "",
        "chart": alert_page.build_chart(alert, now=now),
        "timeline": [
            {"event": event, "tone": TONES.get(event.kind, "")}
            for event in alert.events.select_related("user").order_by("-at", "-pk")[:200]
        ],
        "deliveries": _list_deliveries(alert),
        "impact": alert_impact(alert, now=now),
        "causes": find_causes(onset_of_alert(alert)),
        "earlier": alert_page.list_earlier_episodes(alert),
        "facts": sorted(alert.labels.items()),
        "metadata": sorted(alert.metadata.items()),
        "alert_type": alert_page.find_type(alert),
        "may_change": request.user.has_perm(CHANGE),
        "act_url": reverse("alerts:alert-act", args=[alert.pk]),
        "here": request.path,
    }
    return render(request, "alerts/detail.html", context)


def _list_deliveries(alert: SystemAlert) -> list[dict[str, object]]:
    rows = (
        Notification.objects.filter(alert=alert)
        .select_related("channel")
        .prefetch_related("attempts")
        .order_by("-pk")[:100]
    )
    return [
        {
            "notification": row,
            "title": row.payload.get("title", ""),
            "recipients": ", ".join(row.payload.get("recipients", [])),
            "error": "" if row.state == NotificationState.SENT else row.error,
            "attempts": list(row.attempts.all()),
            "delivered_after": timedelta(0)
            if row.sent_at is None
            else row.sent_at - row.created_at,
            "resend_url": reverse("alerts:notification-resend", args=[row.pk])
            if row.state not in UNFINISHED_STATES
            else "",
        }
        for row in rows
    ]
