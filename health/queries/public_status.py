"""Load everything the public may know about the portal's health into plain values.

The values are served as JSON at `/status/status.json`, so their field names are part of that interface.
"""

from datetime import datetime, timedelta

import msgspec
from django.utils.safestring import SafeString

from alerts.queries import silences_in_force
from health import verdict
from health.models import Component, Incident, MaintenanceWindow
from health.queries import uptime
from health.queries.components import ComponentsUnderMaintenance
from health.uptime_bars import render_bars
from health.verdict import Status

INCIDENT_HISTORY = timedelta(days=14)
MAX_INCIDENTS = 20
MAX_MAINTENANCE_WINDOWS = 10


class DayBar(msgspec.Struct):
    date: datetime
    tone: str
    words: str


class PublicComponent(msgspec.Struct):
    title: str
    status: str  # a verdict.Status, or "maintenance"
    uptime_percent: float | None
    days: list[DayBar]

    @property
    def bars(self) -> SafeString:
        return render_bars([(day.tone, day.words) for day in self.days], title=self.title)

    @property
    def uptime_text(self) -> str:
        return f"{uptime.percent_in_words(self.uptime_percent)} over 90 days"


class PublicUpdate(msgspec.Struct):
    at: datetime
    state: str
    text: str


class PublicIncident(msgspec.Struct):
    id: int
    title: str
    state: str
    is_major: bool
    started_at: datetime
    resolved_at: datetime | None
    components: list[str]
    updates: list[PublicUpdate]
    postmortem: str


class PublicMaintenance(msgspec.Struct):
    id: int
    title: str
    text: str
    starts_at: datetime
    ends_at: datetime
    components: list[str]


class PublicStatus(msgspec.Struct):
    made_at: datetime
    status: str
    components: list[PublicComponent] = []
    incidents: list[PublicIncident] = []
    maintenance: list[PublicMaintenance] = []


def load_public_status(*, now: datetime) -> PublicStatus:
    """Load the public status. It contains titles and states only, no messages and no addresses."""
    components = list(Component.objects.in_use().filter(is_public=True).order_by("title", "pk"))
    required = Component.objects.in_use().filter(is_required=True, is_public=False)
    under_maintenance = ComponentsUnderMaintenance(now)
    overall = verdict.overall_status(
        [
            (c.is_required, Status(c.status))
            for c in [*components, *required]
            if c not in under_maintenance
        ]
    )
    windows = MaintenanceWindow.objects.filter(is_public=True, ends_at__gt=now).order_by(
        "starts_at", "pk"
    )
    return PublicStatus(
        made_at=now,
        status=str(overall),
        components=[
            _public_component(line, is_under_maintenance=line.component in under_maintenance)
            for line in uptime.load_lines(components, now=now)
        ],
        incidents=[_public_incident(one) for one in _load_incidents(now)],
        maintenance=[
            PublicMaintenance(
                window.pk,
                window.title,
                window.text,
                window.starts_at,
                window.ends_at,
                [c.title for c in window.components.all() if c.is_public],
            )
            for window in windows.prefetch_related("components")[:MAX_MAINTENANCE_WINDOWS]
        ]
        + _maintenance_silences(now),
    )


def _maintenance_silences(now: datetime) -> list[PublicMaintenance]:
    """Return the alert silences for planned work that are in force. Negative ids keep them apart from windows."""
    return [
        PublicMaintenance(
            -one.silence.pk,
            one.silence.comment,
            "",
            one.ends_at - (one.silence.ends_at - one.silence.starts_at),
            one.ends_at,
            [],
        )
        for one in silences_in_force(now)
        if one.silence.is_maintenance
    ]


def _load_incidents(now: datetime) -> list[Incident]:
    public = Incident.objects.public().select_related("component").prefetch_related("updates")
    return [
        *public.open().newest_first()[:MAX_INCIDENTS],
        *public.filter(resolved_at__gt=now - INCIDENT_HISTORY).newest_first()[:MAX_INCIDENTS],
    ]


def _public_component(line: uptime.UptimeLine, *, is_under_maintenance: bool) -> PublicComponent:
    return PublicComponent(
        line.component.title,
        "maintenance" if is_under_maintenance else line.component.status,
        line.availabilities[-1].percent,
        [DayBar(day.date, day.tone, uptime.day_in_words(day)) for day in line.days],
    )


def _public_incident(incident: Incident) -> PublicIncident:
    return PublicIncident(
        incident.pk,
        incident.title,
        incident.state,
        incident.is_major,
        incident.started_at,
        incident.resolved_at,
        [incident.component.title] if incident.component and incident.component.is_public else [],
        [PublicUpdate(one.at, one.state, one.text) for one in incident.updates.all()],
        incident.postmortem,
    )
