"""One batch of events, one transaction: stored, grouped and counted, or none of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, connection, transaction

from errors.event.new_event import NewEvent
from errors.models import ErrorGroup, Status
from errors.store import groups, partitions, regressions, search_index
from errors.store.aggregates import Aggregates
from errors.store.groups import GroupCacheEntry, Key
from errors.store.ids import next_id
from errors.store.payloads import Dictionary, pack
from errors.store.postgresql import PostgreSQL
from errors.store.sql import Batch, Dialect, Row
from errors.store.sqlite import SQLite

_TRIES = 3


@dataclass(slots=True)
class Packed:
    """An event with its payload as it will lie on the disk."""

    event: NewEvent
    data: bytes
    dictionary_id: int | None

    @classmethod
    def of(cls, event: NewEvent) -> "Packed":
        """Compressed against its group's dictionary, when this process knows one."""
        entry = groups.group_cache.get((event.app_id, event.group_hash))
        dictionary = entry.dictionary if entry else None
        if dictionary is None:
            return cls(event, pack(event.payload), None)
        return cls(event, pack(event.payload, dictionary), dictionary.id)


@dataclass(slots=True)
class BatchResult:
    """What a batch came to. A duplicate counts as stored: it was, the first time."""

    stored: int = 0
    duplicates: int = 0
    severities: set[str] = field(default_factory=set)


class _AfterCommit:
    """What the process may believe once the transaction has committed."""

    def __init__(self) -> None:
        self.entry: dict[Key, GroupCacheEntry] = {}
        self.dictionaries: list[tuple[GroupCacheEntry, Dictionary]] = []
        self.days: set[datetime] = set()

    def __call__(self) -> None:
        for key, entry in self.entry.items():
            groups.group_cache.put(key, entry)
        for entry, dictionary in self.dictionaries:
            groups.group_cache.put_dictionary(entry, dictionary)
        for day in self.days:
            partitions.mark_ready(day.date())


def write(events: Sequence[NewEvent]) -> BatchResult:
    """Store the batch in a transaction of its own, or in the caller's. Raises what the database raises."""
    for attempt in range(_TRIES):
        after = _AfterCommit()
        try:
            with transaction.atomic():
                result = _write([Packed.of(event) for event in events], after)
        except BaseException as error:
            # What was remembered may be why it failed, or may not have come to be.
            groups.group_cache.clear()
            search_index.text_cache.clear()
            partitions.clear_ready_days()
            if _may_come_right(error) and attempt < _TRIES - 1:
                continue
            raise
        transaction.on_commit(after)
        return result
    raise AssertionError("unreachable")


def _may_come_right(error: BaseException) -> bool:
    """Another process made the same id or group in this instant, or the two would have waited for each other for ever."""
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
            ),
        )

    search_index.add(
        ((entry.group_id, packed.event) for packed, entry, _ in rows),
        new_groups={id for id, state in by_id.items() if not state[4]},
    )
    _update_dictionaries(rows, by_id, after)
    after.entry.update(found)
    result.severities = {packed.event.severity for packed, _ in new}
    for group_id, group in aggregates.groups.items():
        state = by_id[group_id]
        if groups.worse(state[2], group.severity) != state[2]:
            ErrorGroup.objects.filter(pk=group_id).update(severity=group.severity)
        if state[1] not in (Status.OPEN, Status.REGRESSED):
            of_group = [packed.event for packed, entry, _ in rows if entry.group_id == group_id]
            regressions.update_status(group_id, of_group)
    return result


def _lockable_ids(batch: Sequence[Packed]) -> list[int]:
    """The groups to lock before anything else: all, or none where something must be looked up or made first.

    Who held some already and then waited for more, or for a lock on what is to be made, could wait in a circle with another
    node's batch.
    """
    if not all(partitions.is_ready(day) for day in {one.event.received_at.date() for one in batch}):
        return []
    return groups.known_ids(packed.event for packed in batch)


def _states(
    sql: Dialect, cursor: Any, found: dict[Key, GroupCacheEntry], at_hand: Sequence[Row]
) -> dict[int, Row]:
    """The groups' rows, locked. What the process remembered of a group that is gone or merged is put right."""
    states = {row[0]: row for row in at_hand}
    for _ in range(10):  # merges can form a chain
        ids = {entry.group_id for entry in found.values()} - states.keys()
        if ids:
            states |= {row[0]: row for row in sql.group_states(cursor, sorted(ids))}
        moved = False
        for entry in found.values():
            state = states.get(entry.group_id)
            if state is None:
                raise IntegrityError(f"group {entry.group_id} is gone")
            if state[3] is not None:
                entry.group_id = state[3]
                entry.dictionary = None
                moved = True
        if not moved:
            break
    return {entry.group_id: states[entry.group_id] for entry in found.values()}


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
    """From a group's second event on there is a dictionary; a dictionary that no longer fits is replaced."""
    used = {}
    asked: set[int] = set()
    for packed, entry, _ in rows:
        if (
            packed.dictionary_id is not None
            and entry.dictionary
            and packed.dictionary_id == entry.dictionary.id
        ):
            entry.record_use(len(packed.data))
            used[entry.group_id] = entry
        if entry.group_id in asked or not entry.needs_dictionary():
            continue
        asked.add(entry.group_id)
        if states[entry.group_id][4]:  # events it had before this batch
            dictionary = groups.create_dictionary(
                entry, packed.event.payload, packed.event.received_at
            )
            if dictionary is not None:
                after.dictionaries.append((entry, dictionary))
    if rows and used:
        groups.mark_used(used.values(), rows[0][0].event.received_at.date())
