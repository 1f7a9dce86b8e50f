"""What the public may know, as one plain value: made from the database, kept in memory and in a file.

When the database is away, the status page shows the last known value and says how old it is.
"""

import logging
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import connections
from django.utils.safestring import SafeString

from alerts.queries import silences_in_force
from health import verdict
from health.models import Component, Incident, MaintenanceWindow
from health.queries import uptime
from health.services.results import Maintained
from health.uptime_bars import bars
from health.verdict import Status

log = logging.getLogger(__name__)

FRESH_FOR = timedelta(seconds=30)
PATIENCE = 0.5  # seconds a visitor waits for the database
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
        return bars([(day.tone, day.words) for day in self.days], title=self.title)

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


def make(*, now: datetime) -> PublicStatus:
    """From the database. Titles and states only: messages and addresses are nobody's business."""
    components = list(Component.objects.in_use().filter(is_public=True).order_by("title", "pk"))
    required = Component.objects.in_use().filter(is_required=True, is_public=False)
    maintained = Maintained(now)
    overall = verdict.overall(
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


# --- kept -------------------------------------------------------------------------------------------------


def _file() -> Path:
    return Path(settings.DATA_DIR) / "status.json"


def keep(status: PublicStatus) -> None:
    """In the file, for a start while the database is away. Readers see the old or the new one, never half."""
    path = _file()
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(path)
    except OSError:
        log.warning("status file cannot be written", exc_info=True)


def kept() -> PublicStatus | None:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=PublicStatus)
    except (OSError, msgspec.MsgspecError):
        return None


class Desk:
    """This process's newest value. Nobody waits longer than PATIENCE; whoever comes too early gets the last known one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: PublicStatus | None = None
        self._asked_at: datetime | None = None
        self._making: threading.Event | None = None
        self._has_failed = False

    def read(self, *, now: datetime) -> tuple[PublicStatus | None, bool]:
        """The newest value, and whether it is fresh."""
        with self._lock:
            if self._is_fresh(now):
                return self._known, True
            tried_lately = self._asked_at and timedelta() <= now - self._asked_at < timedelta(
                seconds=5
            )
            done = self._making
            if done is None and not tried_lately:
                done = self._making = threading.Event()
                self._asked_at = now
                threading.Thread(
                    target=self._make, args=(now, done), name="status page", daemon=True
                ).start()
        if done is not None:
            done.wait(PATIENCE)
        with self._lock:
            if self._known is None:  # never read here: however new the file is, that is not fresh
                return kept(), False
            return self._known, self._is_fresh(now)

    def forget(self) -> None:
        with self._lock:
            self._known = self._asked_at = None
            self._has_failed = False

    def _is_fresh(self, now: datetime) -> bool:
        return (
            self._known is not None
            and not self._has_failed
            and now - self._known.made_at < FRESH_FOR
        )

    def _make(self, now: datetime, done: threading.Event) -> None:
        try:
            made = make(now=now)
            with self._lock:
                self._known, self._has_failed = made, False
            keep(made)
        except (
            Exception
        ) as error:  # whatever is wrong with the database: the last known value is shown
            self._has_failed = True
            log.warning(
                "status page shows the last known state", extra={"error": repr(error)[:300]}
            )
        finally:
            with self._lock:
                self._making = None
            done.set()
            connections.close_all()


desk = Desk()
