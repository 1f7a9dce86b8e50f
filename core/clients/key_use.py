"""Record when each key was last used, which staff check before they revoke a key.

Uses are collected in memory and written by the background thread.
"""

from datetime import datetime

from django.db.models import Model
from django.utils import timezone

from core.clients.models import ApiKey, ClientKey, PersonalToken
from core.lib.buffer import Buffer, OnFailure

MAX_KEYS = 50_000

_Key = tuple[type[Model], int]  # The model and the id of a key.


def record_key_use(
    model: type[ClientKey] | type[ApiKey] | type[PersonalToken], key_id: int
) -> None:
    key_uses.add((model, key_id), timezone.now())


def _write(uses: dict[_Key, datetime]) -> None:
    """Set the time of last use with one statement per model. All keys of a model get the latest of their times."""
    models: tuple[type[Model], ...] = (ClientKey, ApiKey, PersonalToken)
    for model in models:
        used = {key_id: at for (used_model, key_id), at in uses.items() if used_model is model}
        if used:
            keys = model._default_manager.filter(pk__in=used)
            keys.update(last_used_at=max(used.values()))


key_uses = Buffer[_Key, datetime](
    "clients: last use of keys",
    seconds=60,
    write=_write,
    merge=max,
    max_keys=MAX_KEYS,
    on_failure=OnFailure.RETRY,
)
