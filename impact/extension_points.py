"""Define the hooks of `impact`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| order_sources | `@order_source("payments", watches=(Watch(…),), page=…)` | `(Wanted) -> Iterable[Attempt]` |
| problem_sources | `@problem_source("group", indexed=…, find=…, describe=…, onset=…)` | `(first, last, limit) -> Page` |
| cause_sources | `@cause_source("health.outages")` | `(Onset) -> Iterable[Change]` |
| erasers | `@eraser("payments")` | `(person, limit, now) -> int` |
| person_records | `@person_records("payments", label="Payments")` | `(person) -> Iterator[PersonRecord]` |

docs/howto/ describes how to add an eraser, a source of possible causes and other hooks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet

from core.lib.registry import Registry
from impact.causes import Change, Onset
from impact.references import Reference
from impact.states import Attempt

# --- order sources -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Watch:
    """A table of a source. A trigger records each inserted row, and each update of one of the columns."""

    table: str
    columns: tuple[str, ...]
    # The column of the changed row that contains the primary key of the source's record.
    column: str = "id"
    # Set to False if each inserted row comes with a row of another watched table, whose insert is recorded.
    sees_inserts: bool = True


@dataclass(frozen=True)
class Wanted:
    """The records to load: those with one of these ids, and those of one of these orders, reservations or payments."""

    record_ids: frozenset[int] = frozenset()
    order_ids: frozenset[str] = frozenset()
    reservation_ids: frozenset[str] = frozenset()
    payment_ids: frozenset[str] = frozenset()


OrderSource = Callable[[Wanted], Iterable[Attempt]]


@dataclass(frozen=True)
class Source:
    name: str
    kind: str  # All attempts from the source have this kind.
    load: OrderSource
    watches: tuple[Watch, ...]
    page: Callable[[str], str]  # Returns the URL of a record's page, given the record's uuid.


order_sources: Registry[Source] = Registry("order_sources")


def order_source(
    name: str, *, kind: str, watches: tuple[Watch, ...], page: Callable[[str], str]
) -> Callable[[OrderSource], OrderSource]:
    """Register a function that returns the attempts for given records, orders, reservations and payments."""
    return order_sources.decorator(name, lambda load: Source(name, kind, load, watches, page))


# --- problem sources ---------------------------------------------------------------------------


class Problem(NamedTuple):
    """A problem that may cost orders, such as an error group or an alert."""

    kind: str
    id: int


class Mention(NamedTuple):
    """The fact that a problem named an identifier at a certain time."""

    problem: Problem
    reference: Reference
    at: datetime
    # The last of several times, if the problem named the identifier repeatedly.
    last_at: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page of the mentions in a range of a source's rows."""

    mentions: Sequence[Mention] = ()
    next: int | None = None  # The id at which the next page starts, or None on the last page.


@dataclass(frozen=True)
class Description:
    """The description of a problem for staff."""

    title: str
    url: str
    # The figures cover the orders of these problems: the problem itself and, for example, the groups merged into it.
    problems: tuple[Problem, ...]
    since: datetime | None = None
    until: datetime | None = None
    permission: str = ""  # The permission that a user needs to see the problem.


ReadMentions = Callable[[int, int, int], Page]
FindMentions = Callable[[str, Sequence[str]], Iterable[Mention]]


@dataclass(frozen=True)
class ProblemSource:
    kind: str
    read: ReadMentions
    find: FindMentions
    indexed: frozenset[str]
    describe: Callable[[int], Description | None]
    watches: tuple[Watch, ...] = ()
    onset: Callable[[int], Onset | None] | None = None


problem_sources: Registry[ProblemSource] = Registry("problem_sources")


def _find_none(kind: str, values: Sequence[str]) -> Iterable[Mention]:
    return ()


def problem_source(
    kind: str,
    *,
    describe: Callable[[int], Description | None],
    find: FindMentions = _find_none,
    indexed: frozenset[str] = frozenset(),
    watches: tuple[Watch, ...] = (),
    onset: Callable[[int], Onset | None] | None = None,
) -> Callable[[ReadMentions], ReadMentions]:
    """Register a function `(first, last, limit) -> Page` that returns the mentions in the rows with these ids.

    `find(kind, values)` returns the earlier mentions of references of the `indexed` kinds. Mentions of other kinds are
    stored for two days, for orders that begin after the problem. `onset(id)` returns the onset of the problem, so that
    its possible causes can be found.
    """
    return problem_sources.decorator(
        kind, lambda read: ProblemSource(kind, read, find, indexed, describe, watches, onset)
    )


# --- data of a person --------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """A customer whose data is shown or erased, with all references to this customer in records."""

    customers: frozenset[str]  # References in payments and reservations.
    users: frozenset[str]  # References in errors.
    # Keyed hashes of the e-mail address (see `core.lib.customers.address_hashes`).
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PersonRecord:
    """A stored record about a person. The values of `data` can be represented in JSON."""

    title: str
    at: datetime
    data: Mapping[str, Any]
    url: str = ""  # The URL of the record's page.


ReadRecords = Callable[[Person], Iterator[PersonRecord]]
ListReferences = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class RecordSource:
    name: str
    label: str  # The name of the records in the plural, such as "Payments".
    read: ReadRecords
    references: ListReferences


record_sources: Registry[RecordSource] = Registry("person_records")


def person_records(
    name: str, *, label: str, references: ListReferences = tuple
) -> Callable[[ReadRecords], ReadRecords]:
    """Register a function that yields the records about a person.

    The function must read the records in chunks, because there may be many. `references` returns the references to all
    persons in these records, so that erasures can be repeated after a restore.
    """
    return record_sources.decorator(name, lambda read: RecordSource(name, label, read, references))


def distinct_references(rows: QuerySet[Any], column: str) -> Iterator[str]:
    """Return the distinct values of a column, without the empty string."""
    found = rows.exclude(**{column: ""}).order_by().values_list(column, flat=True).distinct()
    return found.iterator(chunk_size=2000)


Eraser = Callable[[Person, int, datetime], int]

erasers: Registry[tuple[str, Eraser]] = Registry("erasers")


def eraser(name: str) -> Callable[[Eraser], Eraser]:
    """Register a function that removes a person from at most `limit` records and returns the number of these records.

    The function is called repeatedly, each time in a transaction of its own, until it returns 0.
    """
    return erasers.decorator(name, lambda erase: (name, erase))


# --- cause sources -----------------------------------------------------------------------------


FindChanges = Callable[[Onset], Iterable[Change]]


@dataclass(frozen=True)
class CauseSource:
    name: str
    find: FindChanges


cause_sources: Registry[CauseSource] = Registry("cause_sources")


def cause_source(name: str) -> Callable[[FindChanges], FindChanges]:
    """Register a function that returns the changes between `onset.since` and `onset.until` that may cause problems.

    The function need not judge the changes, because `impact.causes.rank` selects and sorts them.
    """
    return cause_sources.decorator(name, lambda find: CauseSource(name, find))
