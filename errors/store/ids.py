"""Generate event ids that increase with the time of receipt, without coordination between processes."""

import itertools
import os
import secrets
from datetime import datetime

from errors.models import ID_BITS

# Each process counts from a random number of ID_BITS bits, so two processes rarely generate the same id in the same
# millisecond. If they do, the primary key rejects the id, and the batch is written again with new ids.
_MASK = (1 << ID_BITS) - 1
_count = itertools.count(secrets.randbelow(_MASK))


def _restart_count() -> None:
    global _count
    _count = itertools.count(secrets.randbelow(_MASK))


os.register_at_fork(after_in_child=_restart_count)


def next_id(received_at: datetime) -> int:
    return int(received_at.timestamp() * 1000) << ID_BITS | next(_count) & _MASK
