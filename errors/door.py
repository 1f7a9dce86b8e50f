"""Who may come in: app, key and quotas in one look-up that is remembered for a few seconds.

Kept a while longer than it is trusted: when the database is away, an app that was known stays known, so that its errors
meet a store that says 503 and not a door that says nothing.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from opsportal.clients.auth import app_for_key
from opsportal.clients.key_use import record_key_use
from opsportal.clients.models import ClientApp, ClientKey, Scope
from opsportal.lib import ratelimit
from opsportal.lib.scrub import Scrubber, scrubber

TRUSTED_FOR = 5.0  # seconds until a revoked key is turned away, everywhere
KEPT_FOR = 3600.0
_MOST_REMEMBERED = 10_000


class NotOpen(Exception):
    """The database is away and this key was not seen lately: 503."""


@dataclass(slots=True, frozen=True)
class Quota:
    name: str
    limit: int
    seconds: int


@dataclass(slots=True, frozen=True)
class Guest:
    """An app that may post, and what ingestion needs to know of it."""

    app: ClientApp
    app_id: int
    scrubber: Scrubber
    origins: frozenset[str]
    quotas: tuple[Quota, ...]


class OverQuota(Exception):
    def __init__(self, quota: Quota, retry_after: int) -> None:
        super().__init__(quota.name)
        self.quota = quota
        self.retry_after = retry_after


def _guest(app: ClientApp) -> Guest:
    limits = (
        Quota("burst", app.events_per_second or 0, 1),
        Quota("hour", app.events_per_hour or 0, 3600),
        Quota("day", app.events_per_day or 0, 86_400),
    )
    return Guest(
        app=app,
        app_id=app.pk,
        scrubber=scrubber(_names(app.scrub_keys), _names(app.safe_keys)),
        origins=_names(app.allowed_origins),
        quotas=tuple(quota for quota in limits if quota.limit),
    )


def _names(value: object) -> frozenset[str]:
    return frozenset(str(item) for item in value) if isinstance(value, list) else frozenset()


def release_connection() -> None:
    """Ingestion's threads outnumber the connections; nobody else gives back what such a thread used for a moment."""
    if not connection.in_atomic_block:
        close_old_connections()


class Door:
    def __init__(self) -> None:
        # Negative answers are remembered by (project, key) too, never by project alone.
        self._remembered: OrderedDict[tuple[int | None, str], tuple[float, Guest | None]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def admit(self, project_id: int | None, key: str) -> Guest | None:
        """The app of this key, if it is the project's; None for whatever reason it may not come in. Raises NotOpen."""
        now = time.monotonic()
        remembered = self._remembered.get((project_id, key))
        if remembered is not None and now - remembered[0] < TRUSTED_FOR:
            return remembered[1]
        if "\0" in key:  # no key has one, and PostgreSQL would not even look
            return None
        try:
            guest = self._look_up(project_id, key)
        except (DatabaseError, InterfaceError):
            if remembered is not None and now - remembered[0] < KEPT_FOR:
                return remembered[1]
            raise NotOpen("the store is away") from None
        finally:
            release_connection()
        with self._lock:
            self._remembered[project_id, key] = (now, guest)
            self._remembered.move_to_end((project_id, key))
            while len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return guest

    def _look_up(self, project_id: int | None, key: str) -> Guest | None:
        if project_id is None:  # the plain endpoint: the key says which app
            app = app_for_key(key, Scope.INGEST)
            return _guest(app) if app else None
        public = (
            ClientKey.objects.live()
            .select_related("app")
            .filter(public_key=key, app_id=project_id)
            .first()
        )
        if public is None:
            return None
        record_key_use(ClientKey, public.pk)
        return _guest(public.app)

    def forget(self) -> None:
        with self._lock:
            self._remembered.clear()


door = Door()


def check_quotas(guest: Guest, count: int = 1) -> None:
    """Counts `count` events against the app's quotas. Raises OverQuota for the first that is used up."""
    for quota in guest.quotas:
        verdict = ratelimit.acquire(
            f"errors.{quota.name}:{guest.app_id}", quota.limit, quota.seconds, cost=count
        )
        if not verdict.allowed:
            raise OverQuota(quota, max(1, int(verdict.retry_after + 0.999)))
