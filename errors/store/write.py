"""Store, group and count one batch of events in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, connection, transaction

from core.lib.durability import ensure_replicated
from errors.event.new_event import NewEvent
from errors.models import ErrorGroup, Status
from errors.store import groups, partitions, regressions, search_index, to_resolve
from errors.store.aggregates import Aggregates
from errors.store.groups import GroupCacheEntry, Key
from errors.store.ids import next_id
from errors.store.payloads import Dictionary, pack
from errors.store.postgresql import PostgreSQL
from errors.store.sql import Batch, Dialect, Row
from errors.store.sqlite import SQLite

_MAX_ATTEMPTS = 3


@dataclass(slots=True)
class Packed:
    """An event with its compressed payload."""

    event: NewEvent
    data: bytes
    dictionary_id: int | None

    @classmethod
    def of(cls, event: NewEvent) -> "Packed":
        """Compress the payload, using the dictionary of its group if this process has cached it."""
        entry = groups.group_cache.get((event.app_id, event.group_hash))
        dictionary = entry.dictionary if entry else None
        if dictionary is None:
            return cls(event, pack(event.payload), None)
        return cls(event, pack(event.payload, dictionary), dictionary.id)

    def drop_dictionary(self) -> None:
        """Compress the payload again, without a dictionary."""
        self.data, self.dictionary_id = pack(self.event.payload), None


@dataclass(slots=True)
class BatchResult:
    """The result of one batch. Duplicates are events that were already stored, or that the batch contained twice."""

    stored: int = 0
    duplicates: int = 0
    severities: set[str] = field(default_factory=set)
    to_resolve: int = 0  # Counts events whose frames a source map may resolve.


class _AfterCommit:
    """A callback that updates the caches of this process, which may happen only after the commit."""

    def __init__(self) -> None:
        self.entries: dict[Key, GroupCacheEntry] = {}
        self.dictionaries: list[tuple[GroupCacheEntry, Dictionary]] = []
        self.days: set[datetime] = set()

    def __call__(self) -> None:
        for key, entry in self.entries.items():
            groups.group_cache.put(key, entry)
        for entry, dictionary in self.dictionaries:
            groups.group_cache.put_dictionary(entry, dictionary)
        for day in self.days:
            partitions.mark_ready(day.date())


def write(events: Sequence[NewEvent]) -> BatchResult:
    """Store the batch in the caller's transaction or, if there is none, in a new one. Raises database errors.

    After a conflict with concurrent writers, the batch is tried again, at most _MAX_ATTEMPTS times in all.
    """
    for attempt in range(_MAX_ATTEMPTS):
        after = _AfterCommit()
        try:
            with transaction.atomic():
                result = _write([Packed.of(event) for event in events], after)
        except BaseException as error:
            # The caches may be outdated, which may have caused the failure, or contain rows that were rolled back.
            groups.group_cache.clear()
            search_index.text_cache.clear()
            partitions.clear_ready_days()
            if _is_retryable(error) and attempt < _MAX_ATTEMPTS - 1:
                continue
            raise
        transaction.on_commit(after)
        return result
    raise AssertionError("unreachable")


def _is_retryable(error: BaseException) -> bool:
    """Return True for deadlocks and for integrity errors, which concurrent writers or outdated caches may cause."""
    is_deadlock = getattr(error.__cause__, "sqlstate", "") == "40P01"
    return is_deadlock or isinstance(error, IntegrityError)


def _write(batch: Sequence[Packed], after: _AfterCommit) -> BatchResult:
    sql: Dialect = PostgreSQL() if connection.vendor == "postgresql" else SQLite()
    result = BatchResult()
    with sql.cursor() as cursor:
        firsts: dict[tuple[str, int], tuple[Packed, int]] = {}
        for packed in batch:
            event = packed.event
            key = (event.event_id, event.app_id)
            if key not in firsts:
                firsts[key] = (packed, next_id(event.received_at))
        fresh, states = sql.new_ids(
            cursor,
            [(*key, firsts[key][1]) for key in sorted(firsts)],
            _lockable_ids(batch),
        )
        new = [firsts[key] for key in firsts if key in fresh]
        result.stored = len(new)
        result.duplicates = len(batch) - len(new)
        if not new:
            ensure_replicated()
            return result

        for event in {packed.event.received_at.date(): packed.event for packed, _ in new}.values():
            day = event.received_at.astimezone(UTC)
            partitions.ensure(day.date())
            after.days.add(day)

        found = groups.resolve([packed.event for packed, _ in new])
        by_id = _states(sql, cursor, found, states)
        rows = [
            (packed, found[packed.event.app_id, packed.event.group_hash], id) for packed, id in new
        ]
        _drop_outdated_dictionaries(rows)
        aggregates = Aggregates.of((packed.event, entry.group_id, id) for packed, entry, id in rows)

        sql.add(
            cursor,
            Batch(
                events=[_event_row(sql, packed.event, entry, id) for packed, entry, id in rows],
                payloads=[(id, packed.dictionary_id, packed.data) for packed, _, id in rows],
                groups=[
                    (
                        group.count,
                        sql.timestamp(group.first_at),  # type: ignore[arg-type]
                        sql.timestamp(group.last_at),  # type: ignore[arg-type]
                        group.release,
                        group.last_event,
                        group_id,
                    )
                    for group_id, group in sorted(aggregates.groups.items())
                ],
                users=sorted(aggregates.users),
                hours=[(*key, n) for key, n in sorted(aggregates.hours.items())],
                tags=[(*key, n) for key, n in sorted(aggregates.tags.items())],
                minutes=[(*key, n) for key, n in sorted(aggregates.minutes.items())],
                to_link=_range_to_link(rows),
            ),
        )

    search_index.add(
        ((entry.group_id, packed.event) for packed, entry, _ in rows),
        new_groups={id for id, state in by_id.items() if not state[4]},
    )
    _update_dictionaries(rows, by_id, after)
    after.entries.update(found)
    result.severities = {packed.event.severity for packed, _ in new}
    result.to_resolve = to_resolve.mark((packed.event, id) for packed, _, id in rows)
    for group_id, group in aggregates.groups.items():
        state = by_id[group_id]
        if groups.worse_severity(state[2], group.severity) != state[2]:
            ErrorGroup.objects.filter(pk=group_id).update(severity=group.severity)
        if state[1] not in (Status.OPEN, Status.REGRESSED):
            of_group = [packed.event for packed, entry, _ in rows if entry.group_id == group_id]
            regressions.update_status(group_id, of_group)
    return result


def _lockable_ids(batch: Sequence[Packed]) -> list[int]:
    """Return the ids of the groups to lock first: all groups, or none if a group or partition may have to be created.

    Creating a group or partition requires another lock. A transaction that waited for it while holding group locks
    could deadlock with a batch of another node.
    """
    if not all(partitions.is_ready(day) for day in {one.event.received_at.date() for one in batch}):
        return []
    return groups.cached_group_ids(packed.event for packed in batch)


def _states(
    sql: Dialect, cursor: Any, found: dict[Key, GroupCacheEntry], locked: Sequence[Row]
) -> dict[int, Row]:
    """Lock the groups, and return their rows by id. Entries of merged groups are changed to the group that was kept."""
    states = {row[0]: row for row in locked}
    for _ in range(10):  # Merges can form a chain. Each iteration follows one merge.
        ids = {entry.group_id for entry in found.values()} - states.keys()
        if ids:
            states |= {row[0]: row for row in sql.group_states(cursor, sorted(ids))}
        moved = False
        for entry in found.values():
            state = states.get(entry.group_id)
            if state is None:
                raise IntegrityError(f"group {entry.group_id} has been deleted")
            if state[3] is not None:
                entry.group_id = state[3]
                entry.dictionary = None
                moved = True
        if not moved:
            break
    return {entry.group_id: states[entry.group_id] for entry in found.values()}


def _drop_outdated_dictionaries(rows: Sequence[tuple[Packed, GroupCacheEntry, int]]) -> None:
    """Compress payloads again that do not use the dictionary of their event's group.

    The cached group may have been deleted or merged since. Its dictionary is then deleted with it, now or later, which
    would make the payload unreadable.
    """
    for packed, entry, _ in rows:
        if packed.dictionary_id is not None and (
            entry.dictionary is None or entry.dictionary.id != packed.dictionary_id
        ):
            packed.drop_dictionary()


def _range_to_link(
    rows: Sequence[tuple[Packed, GroupCacheEntry, int]],
) -> tuple[int, int] | None:
    ids = [id for packed, _, id in rows if _has_reference(packed.event)]
    return (min(ids), max(ids)) if ids else None


def _has_reference(event: NewEvent) -> bool:
    return bool(
        event.user_key
        or event.request_id
        or event.order_ref
        or event.payment_ref
        or event.reservation_ref
        or event.organization
    )


def _event_row(sql: Dialect, event: NewEvent, entry: GroupCacheEntry, id: int) -> Row:
    return (
        id,
        event.app_id,
        entry.group_id,
        sql.event_id(event.event_id),
        sql.timestamp(event.occurred_at),
        event.severity,
        event.environment,
        event.release,
        event.category,
        event.function,
        event.title[:200],
        event.request_id,
        event.user_key,
        event.organization,
        event.order_ref,
        event.payment_ref,
        event.reservation_ref,
    )


def _update_dictionaries(
    rows: Sequence[tuple[Packed, GroupCacheEntry, int]], states: dict[int, Row], after: _AfterCommit
) -> None:
    """Create dictionaries for groups that had events before, and replace dictionaries that compress badly."""
    used = {}
    checked: set[int] = set()
    for packed, entry, _ in rows:
        if (
            packed.dictionary_id is not None
            and entry.dictionary
            and packed.dictionary_id == entry.dictionary.id
        ):
            entry.record_use(len(packed.data))
            used[entry.group_id] = entry
        if entry.group_id in checked or not entry.needs_dictionary():
            continue
        checked.add(entry.group_id)
        if states[entry.group_id][4]:  # The group had events before this batch.
            dictionary = groups.create_dictionary(
                entry, packed.event.payload, packed.event.received_at
            )
            if dictionary is not None:
                after.dictionaries.append((entry, dictionary))
    if rows and used:
        groups.mark_used(used.values(), rows[0][0].event.received_at.date())
