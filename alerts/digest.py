"""The registry of what digests list: `digest_sources.py` of an app says what is new or worse since the last one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from opsportal.lib.registry import Registry


@dataclass(frozen=True)
class DigestItem:
    """One line of a digest. The same thing has the same `key` each time."""

    key: str
    title: str
    reason: str  # "new", "worse" or "regressed"
    count: int
    first_at: datetime
    last_at: datetime
    severity: str = "high"
    sample: str = ""
    url: str = ""  # a path of the portal
    regressed_at: datetime | None = None  # listed again, although it was today already


# (since, until) -> what became new, worse or regressed in that time
DigestSource = Callable[[datetime, datetime], Iterable[DigestItem]]
registry: Registry[DigestSource] = Registry("digest_sources")


def digest_source(name: str) -> Callable[[DigestSource], DigestSource]:
    def register(source: DigestSource) -> DigestSource:
        registry.add(name, source)
        return source

    return register
