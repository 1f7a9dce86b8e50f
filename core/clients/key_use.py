"""The time each key was last used, which staff check before they revoke a key.

Uses are collected in memory and written by the background thread.
"""

import threading

from django.db.models import Model
from django.utils import timezone

from core.clients.models import ApiKey, ClientKey
from core.lib import background

_used: dict[type[Model], set[int]] = {}
_used_lock = threading.Lock()


def record_key_use(model: type[ClientKey] | type[ApiKey], key_id: int) -> None:
    with _used_lock:
        _used.setdefault(model, set()).add(key_id)


@background.chore("clients: last use of keys", seconds=60)
def write_key_uses() -> int:
    """Set the time of last use for the keys used since the previous call. Returns the number of keys."""
    with _used_lock:
        used = dict(_used)
        _used.clear()
    now = timezone.now()
    return sum(
        model._default_manager.filter(pk__in=ids).update(last_used_at=now)
        for model, ids in used.items()
    )
