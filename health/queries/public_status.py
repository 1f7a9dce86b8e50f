"""Load the public part of the portal's health.

`/status/status.json` serves these structs as JSON, so the names of their fields are part of the public interface.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.core.paginator import Paginator
from django.db.models import Max, Prefetch, QuerySet
from django.utils.safestring import SafeString

from alerts.queries import silences_in_force
from core.lib import formats
from core.lib.natural import natural_key
from health import verdict
from health.models import (
    DEFAULT_NAME,
    Component,
    Incident,
    IncidentUpdate,
    MaintenanceWindow,
    StatusPage,
)
from health.queries import uptime
from health.queries.components import ComponentsUnderMaintenance
from health.uptime_bars import render_bars
from health.verdict import Status

INCIDENT_HISTORY = timedelta(days=14)
MAX_INCIDENTS = 20
HISTORY_PAGE_SIZE = 20
MAX_MAINTENANCE_WINDOWS = 10
# The time of a feed without entries must be constant, because feed readers would otherwise expect new entries.
NEVER = datetime(2000, 1, 1, tzinfo=UTC)
_RANK = {"unhealthy": 0, "degraded": 1, "unknown": 2, "maintenance": 3}


class DayBar(msgspec.Struct):
    date: datetime
    tone: str
    words: str


class PublicComponent(msgspec.Struct):
    title: str
    status: str  # One of verdict.Status, or "maintenance".
    uptime_percent: float | None  # None until the component has been measured for a day.
    days: list[DayBar]
    # None if the component has been measured for more than 90 days.
    measured_since: datetime | None = None
    group: str = ""
    position: int = 0

    @property
    def is_operational(self) -> bool:
        return self.status == Status.HEALTHY

    @property
    def sort_key(self) -> tuple[Any, ...]:
        return self.position, _RANK.get(self.status, 4), natural_key(self.title)

    @property
    def bars(self) -> SafeString:
        return render_bars([(day.tone, day.words) for day in self.days], title=self.title)

    @property
    def uptime_text(self) -> str:
        if self.measured_since is None:
            return f"{uptime.percent_in_words(self.uptime_percent)} over 90 days"
        since = self.measured_since
        if self.uptime_percent is None:
            return f"monitored since {formats.stamp(since)}"
        return f"{uptime.percent_in_words(self.uptime_percent)} since {since.day} {since:%b %Y}"


class PublicGroup(msgspec.Struct):
    """Components that are shown together, sorted by position, then worst first, then by title.

    The components without a group form a group whose title is "".
    """

    title: str
    components: list[PublicComponent]

    @property
    def status(self) -> str:
        return min(self.components, key=lambda one: _RANK.get(one.status, 4)).status

    @property
    def is_operational(self) -> bool:
        return all(one.is_operational for one in self.components)

    @property
    def summary(self) -> str:
        """Return the number of components or, if some have a problem, the share, such as "2 of 12 down"."""
        count = len(self.components)
        down = sum(one.status == Status.UNHEALTHY for one in self.components)
        affected = sum(not one.is_operational for one in self.components)
        if down:
            return f"{down} of {count} down"
        if affected:
            return f"{affected} of {count} affected"
        return "1 component" if count == 1 else f"{count} components"


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


class PublicPage(msgspec.Struct):
    """The name and appearance of the status page."""

    name: str = DEFAULT_NAME
    home_url: str = ""
    # Changes with the logo. It is "" if there is no logo.
    logo_version: str = ""
    accent_color: str = ""
    dark_accent_color: str = ""


class PublicStatus(msgspec.Struct):
    made_at: datetime
    status: str
    components: list[PublicComponent] = []
    incidents: list[PublicIncident] = []
    maintenance: list[PublicMaintenance] = []
    # Contains the time of the last public change of any incident, even of one that is not listed.
    incidents_changed_at: datetime = NEVER
    page: PublicPage = msgspec.field(default_factory=PublicPage)

    @property
    def groups(self) -> list[PublicGroup]:
        """Return the components by group.

        Components without a group come first, followed by the groups in the order of their positions and titles.
        """
        return group_components(self.components)

    @property
    def is_partial_outage(self) -> bool:
        return any(one.status == Status.UNHEALTHY for one in self.components)


def group_components(components: Sequence[PublicComponent]) -> list[PublicGroup]:
    by_title: dict[str, list[PublicComponent]] = {}
    for one in sorted(components, key=lambda one: one.sort_key):
        by_title.setdefault(one.group, []).append(one)
    order = sorted(by_title, key=lambda t: (t != "", by_title[t][0].position, natural_key(t)))
    return [PublicGroup(title, by_title[title]) for title in order]


def load_public_status(*, now: datetime) -> PublicStatus:
    """Load the public status.

    The result contains titles and states, but no messages of checks and no addresses.
    """
    components = sorted(
        Component.objects.in_use().filter(is_public=True).order_by("pk"),
        key=lambda one: natural_key(one.title),
    )
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
    statuses = [one.status for one in components if one not in under_maintenance]
    if 2 * statuses.count(Status.UNHEALTHY) > len(statuses):
        # The portal counts as down if most public components are down, even if these are not required.
        overall = Status.UNHEALTHY
    return PublicStatus(
        made_at=now,
        status=str(overall),
        incidents_changed_at=_incidents_changed_at(now),
        page=_load_page(),
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
    """Return the current silences for planned maintenance in the form of maintenance windows.

    The ids of silences are negative, to distinguish them from maintenance windows.
    """
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


def _load_page() -> PublicPage:
    page = StatusPage.current()
    version = hashlib.sha256(page.logo).hexdigest()[:12] if page.logo else ""
    return PublicPage(page.name, page.home_url, version, page.accent_color, page.dark_accent_color)


def _public_incidents(now: datetime) -> QuerySet[Incident]:
    """Return the public incidents that started by `now`, newest first, with their published updates."""
    updates = Prefetch("updates", IncidentUpdate.objects.published(now))
    started = Incident.objects.public().filter(started_at__lte=now)
    newest_first = started.order_by("-started_at", "-pk")
    return newest_first.select_related("component").prefetch_related(updates)


def _load_incidents(now: datetime) -> list[Incident]:
    public = _public_incidents(now)
    return [
        *public.filter(resolved_at=None)[:MAX_INCIDENTS],
        *public.filter(resolved_at__gt=now - INCIDENT_HISTORY)[:MAX_INCIDENTS],
    ]


def _incidents_changed_at(now: datetime) -> datetime:
    public = Incident.objects.public().filter(started_at__lte=now)
    times = public.aggregate(started=Max("started_at"), resolved=Max("resolved_at"))
    updates = IncidentUpdate.objects.published(now).filter(incident__in=public)
    updated = updates.aggregate(last=Max("at"))
    return max([time for time in (*times.values(), *updated.values()) if time], default=NEVER)


def _public_component(line: uptime.UptimeLine, *, is_under_maintenance: bool) -> PublicComponent:
    return PublicComponent(
        line.component.title,
        "maintenance" if is_under_maintenance else line.component.status,
        line.lifetime_percent,
        [DayBar(day.date, day.tone, uptime.day_in_words(day)) for day in line.days],
        line.measured_since,
        line.component.group,
        line.component.position,
    )


@dataclass(frozen=True)
class IncidentPage:
    """One page of the resolved public incidents, newest first."""

    incidents: list[PublicIncident]
    number: int
    count: int


def load_incident_history(number: int, *, now: datetime) -> IncidentPage:
    """Load a page of the resolved public incidents. A number out of range selects the nearest page."""
    pages = Paginator(_public_incidents(now).filter(resolved_at__isnull=False), HISTORY_PAGE_SIZE)
    page = pages.get_page(number)
    return IncidentPage([_public_incident(one) for one in page], page.number, pages.num_pages)


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
