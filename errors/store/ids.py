"""Event ids that grow with the time of receiving, made without asking anyone."""

import itertools
import os
import secrets
from datetime import datetime

from errors.models import ID_BITS

# Every process counts from a place of its own. Should two of them ever meet within a millisecond (one in two million),
# the primary key refuses, and the batch is written again with other ids.
_MASK = (1 << ID_BITS) - 1
_count = itertools.count(secrets.randbelow(_MASK))


def _elsewhere() -> None:
    global _count
    _count = itertools.count(secrets.randbelow(_MASK))


os.register_at_fork(after_in_child=_elsewhere)


def next_id(received_at: datetime) -> int:
    return int(received_at.timestamp() * 1000) << ID_BITS | next(_count) & _MASK
