"""What the public may know, as one plain value: made from the database, kept in memory and in a file.

When the database is away, the status page shows the last known value and says how old it is.
"""

from datetime import datetime, timedelta

import msgspec
from django.utils.safestring import SafeString

from alerts.queries import silences_in_force
from health import verdict
from health.models import Component, Incident, MaintenanceWindow
from health.queries import uptime
from health.queries.components import Maintained
from health.uptime_bars import render_bars
from health.verdict import Status

HISTORY = timedelta(days=14)


class Bar(msgspec.Struct):
    date: datetime
    tone: str
    words: str


class PublicComponent(msgspec.Struct):
    title: str
    status: str  # a verdict.Status, or "maintenance"
    uptime_percent: float | None
    days: list[Bar]

    @property
    def bars(self) -> SafeString:
        return render_bars([(day.tone, day.words) for day in self.days], title=self.title)

    @property
    def uptime_text(self) -> str:
        return f"{uptime.percent_in_words(self.uptime_percent)} in 90 days"


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
    """From the database. Titles and states only: messages and addresses are nobody's business."""
    components = list(Component.objects.in_use().filter(is_public=True).order_by("title", "pk"))
    required = Component.objects.in_use().filter(is_required=True, is_public=False)
    maintained = Maintained(now)
    overall = verdict.overall_status(
        [(c.is_required, Status(c.status)) for c in [*components, *required] if c not in maintained]
    )
    windows = MaintenanceWindow.objects.filter(is_public=True, ends_at__gt=now).order_by(
        "starts_at", "pk"
    )
    return PublicStatus(
        made_at=now,
        status=str(overall),
        components=[
            _component(line, is_maintained=line.component in maintained)
            for line in uptime.lines(components, now=now)
        ],
        incidents=[_incident(one) for one in _incidents(now)],
        maintenance=[
            PublicMaintenance(
                window.pk,
                window.title,
                window.text,
                window.starts_at,
                window.ends_at,
                [c.title for c in window.components.all() if c.is_public],
            )
            for window in windows.prefetch_related("components")[:10]
        ]
        + _silenced_for_maintenance(now),
    )


def _silenced_for_maintenance(now: datetime) -> list[PublicMaintenance]:
    """Alerts' own windows for planned work, while they last. They have numbers of their own: these are negative."""
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


def _incidents(now: datetime) -> list[Incident]:
    public = Incident.objects.public().select_related("component").prefetch_related("updates")
    return [
        *public.open().newest_first()[:20],
        *public.filter(resolved_at__gt=now - HISTORY).newest_first()[:20],
    ]


def _component(line: uptime.Line, *, is_maintained: bool) -> PublicComponent:
    return PublicComponent(
        line.component.title,
        "maintenance" if is_maintained else line.component.status,
        line.shares[-1].percent,
        [Bar(day.date, day.tone, uptime.day_in_words(day)) for day in line.days],
    )


def _incident(incident: Incident) -> PublicIncident:
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
