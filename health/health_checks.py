"""What the portal itself cannot work without."""

import secrets

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.utils import load_backend
from django.utils import timezone

from health.checks import Degraded, NotConfigured, health_check
from opsportal.jobs.services import queue_state


@health_check(
    "database", summary="Database", critical=True, timeout=2.0, fail_after=1, recover_after=1
)
def database() -> str:
    """A connection of its own, past the pool: a pool waits and retries, and this must tell at once."""
    options = {**connection.settings_dict["OPTIONS"]}
    if connection.vendor == "postgresql":
        options |= {"pool": False, "connect_timeout": 2}
    else:
        options |= {"timeout": 1}
    backend = load_backend(connection.settings_dict["ENGINE"])
    own = backend.DatabaseWrapper({**connection.settings_dict, "OPTIONS": options}, "health")
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        own.close()
    return f"{connection.display_name} answers"


@health_check("cache", summary="Cache (Redis)", timeout=2.0)
def cache() -> str:
    """Optional: without Redis the portal counts and caches in each process."""
    if not settings.REDIS_URL:
        raise NotConfigured("no Redis: each process caches for itself")
    # Past django-redis' IGNORE_EXCEPTIONS, which would turn a dead server into an empty answer.
    client = caches["default"].client.get_client(write=True)  # type: ignore[attr-defined]
    key = f"opsportal:health:{secrets.token_hex(4)}"
    client.set(key, b"1", ex=10)
    if client.get(key) != b"1":
        raise RuntimeError("Redis lost what was just written")
    client.delete(key)
    return "Redis answers"


# Degraded: a tick is late or work waits; beyond the second bound nobody works.
TICK_LATE, TICK_GONE = 150, 300  # seconds
WAITS_LONG, WAITS_TOO_LONG = 60, 300  # seconds


@health_check("queue", summary="Task queue", critical=True, timeout=3.0)
def queue() -> str:
    state = queue_state(timezone.now())
    if not state.nodes and state.tick_age_seconds is None:
        raise Degraded("no worker has reported yet; start one with `make run`")
    tick = state.tick_age_seconds if state.tick_age_seconds is not None else TICK_GONE + 1
    waiting = f"{state.backlog} waiting, the oldest for {state.oldest_seconds:.0f} s"
    if not state.nodes or tick > TICK_GONE:
        raise RuntimeError(f"no worker works: last tick {tick:.0f} s ago; {waiting}")
    if state.oldest_seconds > WAITS_TOO_LONG:
        raise RuntimeError(f"work does not get done: {waiting}")
    if tick > TICK_LATE or state.oldest_seconds > WAITS_LONG:
        raise Degraded(f"slow: last tick {tick:.0f} s ago; {waiting}")
    return f"{len(state.nodes)} node{'s' * (len(state.nodes) != 1)}, {waiting}"
