"""What the portal itself cannot work without."""

import secrets

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.utils import load_backend

from health.checks import NotConfigured, health_check


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
