"""The registry of digest sources, which report what is new, worse or regressed.

Apps declare them in a module named `digest_sources`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from core.lib.registry import Registry


@dataclass(frozen=True)
class DigestItem:
    """One item of a digest. `key` identifies the subject across digests."""

    key: str
    title: str
    reason: str  # "new", "worse" or "regressed"
    count: int
    first_at: datetime
    last_at: datetime
    severity: str = "high"
    sample: str = ""
    url: str = ""  # a path within the portal
    regressed_at: datetime | None = None  # if set, may be listed a second time within a day


# Takes (since, until), and returns what became new, worse or regressed in that period.
DigestSource = Callable[[datetime, datetime], Iterable[DigestItem]]
registry: Registry[DigestSource] = Registry("digest_sources")


def digest_source(name: str) -> Callable[[DigestSource], DigestSource]:
    """Register a source of items for the error digest."""

    def register(source: DigestSource) -> DigestSource:
        registry.add(name, source)
        return source

    return register
