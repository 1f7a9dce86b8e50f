"""Declare the retention period of the counts of rejected calls."""

from collections.abc import Iterator

from core.lib.retention import Kept, keeps
from core.limits.tasks import RETENTION


@keeps("limits")
def kept() -> Iterator[Kept]:
    yield Kept("Counts of rejected calls", RETENTION)
