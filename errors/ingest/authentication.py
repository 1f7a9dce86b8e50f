"""Authenticate clients that report errors, with a short-lived cache of keys.

A cached key is trusted for a few seconds, and kept for an hour so that known clients can still be authenticated while
the database is unavailable.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from django.db import (
    DatabaseError,
    InterfaceError,
    close_old_connections,
    connection,
    transaction,
)
from django.db.models.signals import post_delete, post_save

from core.clients.auth import app_for_key
from core.clients.key_use import record_key_use
from core.clients.models import ApiKey, ClientApp, ClientKey, Scope
from core.lib import ratelimit
from core.lib.scrub import Scrubber, scrubber
from errors.event.filters import Filters
from errors.exceptions import AuthUnavailable, NotCached, OverQuota
from errors.queries.filters import filters_of

# Each process rejects a revoked key after this time, or at once if it revoked the key itself. This requires that it can
# query the database.
TRUSTED_SECONDS = 5.0
KEPT_SECONDS = 3600.0
_MAX_CACHED_KEYS = 10_000


@dataclass(slots=True, frozen=True)
class Quota:
    name: str
    limit: int
    seconds: int


@dataclass(slots=True, frozen=True)
class Project:
    """An authenticated app with the settings that ingestion needs."""

    app: ClientApp
    app_id: int
    scrubber: Scrubber
    origins: frozenset[str]
    quotas: tuple[Quota, ...]
    filters: Filters

    @classmethod
    def of(cls, app: ClientApp) -> "Project":
        limits = (
            Quota("burst", app.events_per_second or 0, 1),
            Quota("hour", app.events_per_hour or 0, 3600),
            Quota("day", app.events_per_day or 0, 86_400),
        )
        return cls(
            app=app,
            app_id=app.pk,
            scrubber=scrubber(_names(app.scrub_keys), _names(app.safe_keys)),
            origins=_names(app.allowed_origins),
            quotas=tuple(quota for quota in limits if quota.limit),
            filters=filters_of(app),
        )

    def accepts_origin(self, origin: str | None) -> bool:
        """Return True if the app accepts events from this origin. Clients without one (None or "") are accepted."""
        return not origin or not self.origins or origin in self.origins or "*" in self.origins

    def allow_origin(self, origin: str | None) -> str:
        """Return the value of the header Access-Control-Allow-Origin for a request from this origin."""
        if not self.origins or "*" in self.origins:
            return "*"
        return origin if origin in self.origins else min(self.origins)


def _names(value: object) -> frozenset[str]:
    return frozenset(str(item) for item in value) if isinstance(value, list) else frozenset()


def release_connection() -> None:
    """Return this thread's connection to the pool, which may have fewer connections than ingestion has threads."""
    if not connection.in_atomic_block:
        close_old_connections()


class KeyCache:
    """A cache of projects by (project id, key). Invalid keys, and keys of other projects, are cached as None."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int | None, str], tuple[float, Project | None]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()
        self._trusted_since = 0.0  # No entry from before this time is trusted.

    def authenticate(
        self, project_id: int | None, key: str, *, may_query: bool = True
    ) -> Project | None:
        """Return the key's project, or None if the key is invalid or belongs to another project than `project_id`.

        `project_id` is None if the URL names no project. Raises NotCached if a query is necessary but `may_query` is
        False, and AuthUnavailable if the database is unavailable and the key was not cached in the last KEPT_SECONDS.
        """
        now = time.monotonic()
        cached = self._entries.get((project_id, key))
        if cached is not None and self._is_trusted(cached[0], now):
            return cached[1]
        if "\0" in key:  # PostgreSQL rejects NUL characters in a query.
            return None
        if not may_query:
            raise NotCached
        try:
            project = self._query(project_id, key)
        except (DatabaseError, InterfaceError):
            if cached is not None and now - cached[0] < KEPT_SECONDS:
                return cached[1]
            raise AuthUnavailable("the database is unavailable") from None
        finally:
            release_connection()
        with self._lock:
            self._entries[project_id, key] = (now, project)
            self._entries.move_to_end((project_id, key))
            while len(self._entries) > _MAX_CACHED_KEYS:
                self._entries.popitem(last=False)
        return project

    def _query(self, project_id: int | None, key: str) -> Project | None:
        if project_id is None:
            app = app_for_key(key, Scope.INGEST)
            return Project.of(app) if app else None
        public = (
            ClientKey.objects.live()
            .select_related("app")
            .filter(public_key=key, app_id=project_id)
            .first()
        )
        if public is None:
            return None
        record_key_use(ClientKey, public.pk)
        return Project.of(public.app)

    def _is_trusted(self, cached_at: float, now: float) -> bool:
        return cached_at > self._trusted_since and now - cached_at < TRUSTED_SECONDS

    def distrust(self) -> None:
        """Query each key again before it is used, but keep the entries for an outage of the database."""
        self._trusted_since = time.monotonic()

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


key_cache = KeyCache()


def _apply_changes(**_: object) -> None:
    """Let changes of keys and apps that this process commits apply immediately."""
    transaction.on_commit(key_cache.distrust)


for _signal in (post_save, post_delete):
    for _model in (ApiKey, ClientKey, ClientApp):
        _signal.connect(_apply_changes, _model, dispatch_uid="errors.ingest.authentication")


def check_quotas(project: Project, count: int = 1) -> None:
    """Count `count` events against the project's quotas. Raises OverQuota at the first one that is used up."""
    for quota in project.quotas:
        verdict = ratelimit.acquire(
            f"errors.{quota.name}:{project.app_id}", quota.limit, quota.seconds, cost=count
        )
        if not verdict.allowed:
            raise OverQuota(quota.name, max(1, int(verdict.retry_after + 0.999)))
