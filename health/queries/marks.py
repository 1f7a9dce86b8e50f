"""List deploys, alerts, incidents, maintenance and rule changes for the timeline."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from alerts.extension_points import Severity
from alerts.models import SystemAlert
from core.accounts.models import AuditEvent
from core.lib.app_access import limit
from core.lib.charts import Mark
from health.models import Incident, MaintenanceWindow

MAX_OF_A_KIND = 25
_ALERT_TONES = {Severity.CRITICAL: "critical", Severity.HIGH: "high"}
_CHANGES = {"alerts.alertrule changed": "changed", "alerts.alertrule added": "added"}


def list_marks(since: datetime, until: datetime, *, deploys: Sequence[Mark]) -> list[Mark]:
    """Return `deploys` and the marks of all other kinds, sorted by time.

    Only the newest MAX_OF_A_KIND marks of each other kind are returned.
    """
    marks = [
        *deploys,
        *_alerts(since, until),
        *_incidents(since, until),
        *_maintenance(since, until),
        *_rule_changes(since, until),
    ]
    return sorted(marks, key=lambda mark: mark.at)


def _alerts(since: datetime, until: datetime) -> Iterable[Mark]:
    """Yield marks for alerts of severity high or critical. Marks for all alerts would hide the important ones."""
    alerts = limit(
        SystemAlert.objects.filter(
            opened_at__gte=since, opened_at__lt=until, severity__in=_ALERT_TONES
        )
    ).order_by("-opened_at")[:MAX_OF_A_KIND]
    for alert in alerts:
        yield Mark(
            alert.opened_at,
            "Alert",
            alert.title,
            tone=_ALERT_TONES[Severity(alert.severity)],
            url=alert.get_absolute_url(),
        )


def _incidents(since: datetime, until: datetime) -> Iterable[Mark]:
    incidents = limit(
        Incident.objects.filter(
            Q(resolved_at=None) | Q(resolved_at__gte=since), started_at__lt=until
        )
    ).newest_first()[:MAX_OF_A_KIND]
    for incident in incidents:
        yield Mark(
            incident.started_at,
            "Incident",
            incident.title,
            until=incident.resolved_at or until,
            tone="critical" if incident.is_major else "warning",
            url=reverse("admin:health_incident_change", args=[incident.pk]),
        )


def _maintenance(since: datetime, until: datetime) -> Iterable[Mark]:
    windows = MaintenanceWindow.objects.filter(ends_at__gte=since, starts_at__lt=until)
    for window in windows.order_by("-starts_at")[:MAX_OF_A_KIND]:
        yield Mark(
            window.starts_at,
            "Maintenance",
            window.title,
            until=window.ends_at,
            url=reverse("admin:health_maintenancewindow_change", args=[window.pk]),
        )


def _rule_changes(since: datetime, until: datetime) -> Iterable[Mark]:
    events = AuditEvent.objects.filter(at__gte=since, at__lt=until, action__in=_CHANGES)
    for event in events.order_by("-at")[:MAX_OF_A_KIND]:
        pk = event.target.rpartition(" ")[2]
        yield Mark(
            event.at,
            "Rule",
            f"{_CHANGES[event.action]} by {event.username or 'a former user'}",
            url=reverse("admin:alerts_alertrule_change", args=[pk]) if pk.isdigit() else "",
        )
