"""Which keys are in use: shown to staff before they revoke one. Noted in memory, written down beside the requests."""

import threading

from django.db.models import Model
from django.utils import timezone

from opsportal.clients.models import ApiKey, ClientKey
from opsportal.lib import background

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
    return sum(
        model._default_manager.filter(pk__in=ids).update(last_used_at=now)
        for model, ids in used.items()
    )
