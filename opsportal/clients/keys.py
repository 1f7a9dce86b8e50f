"""Keys on the hot path: what a DSN's public key allows, kept in memory for a few seconds.

A revoked key, a switched-off app or a changed quota takes effect at once in the process that changed it, and within
`TTL` seconds in all others.
"""

import re
import threading
import time
from dataclasses import dataclass

from django.db.models import Model, Q
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from opsportal.clients.models import ApiKey, ClientApp, ClientKey
from opsportal.lib import background

TTL = 10.0
MOST = 10_000  # made-up keys must not fill the memory
_PUBLIC_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CachedApp:
    """A registered app as ingestion needs it; no model, so that nobody saves a stale one."""

    app_id: int
    key_id: int
    slug: str
    platform: str
    allowed_origins: frozenset[str]  # empty: any
    events_per_second: int | None
    events_per_hour: int | None
    events_per_day: int | None
    retention_days: int
    scrub_keys: frozenset[str]
    safe_keys: frozenset[str]


_known: dict[tuple[int | None, str], tuple[float, CachedApp | None]] = {}
_generation = 0  # so that what was read before a change is not kept after it


def resolve(project_id: int | None, public_key: str) -> CachedApp | None:
    """The active app that a live public key belongs to, or None. With a project id (of a DSN) the key must be its."""
    if not _PUBLIC_KEY.fullmatch(public_key):
        return None
    wanted = (project_id, public_key)
    now = time.monotonic()
    kept = _known.get(wanted)
    if kept is not None and kept[0] > now:
        return kept[1]
    generation = _generation
    found = _read(project_id, public_key)
    if found is not None:
        note_used(ClientKey, found.key_id)
    if len(_known) >= MOST:
        _known.clear()
    if generation == _generation:
        _known[wanted] = (now + TTL, found)
    return found


def _read(project_id: int | None, public_key: str) -> CachedApp | None:
    keys = ClientKey.objects.live().select_related("app").filter(public_key=public_key)
    if project_id is not None:
        if not 0 < project_id < 2**63:
            return None
        keys = keys.filter(app=project_id)
    key = keys.first()
    if key is None:
        return None
    app = key.app
    return CachedApp(
        app_id=app.pk,
        key_id=key.pk,
        slug=app.slug,
        platform=app.platform,
        allowed_origins=frozenset(app.allowed_origins),
        events_per_second=app.events_per_second,
        events_per_hour=app.events_per_hour,
        events_per_day=app.events_per_day,
        retention_days=app.retention_days,
        scrub_keys=frozenset(app.scrub_keys),
        safe_keys=frozenset(app.safe_keys),
    )


def forget(**_: object) -> None:
    """Read everything anew. Saving or deleting an app or key calls it; `QuerySet.update` does not."""
    global _generation
    _generation += 1
    _known.clear()


def listen() -> None:
    for model in (ClientApp, ClientKey):
        post_save.connect(forget, sender=model, dispatch_uid=f"clients.keys.saved.{model.__name__}")
        post_delete.connect(
            forget, sender=model, dispatch_uid=f"clients.keys.gone.{model.__name__}"
        )


# --- which keys are in use: shown to staff before they revoke one ------------------------------------------

_used: dict[type[Model], set[int]] = {}
_used_lock = threading.Lock()


def note_used(model: type[ClientKey] | type[ApiKey], key_id: int) -> None:
    with _used_lock:
        _used.setdefault(model, set()).add(key_id)


@background.chore("clients: keys in use", seconds=60)
def write_down_used() -> int:
    """Note the keys that were used since the last time. Returns how many."""
    with _used_lock:
        used = dict(_used)
        _used.clear()
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now)
    return sum(
        model._default_manager.filter(stale, pk__in=ids).update(last_used_at=now)
        for model, ids in used.items()
    )
