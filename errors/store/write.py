"""One batch of events, one transaction: stored, grouped and counted, or none of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, connection, transaction

from errors.event.new_event import NewEvent
from errors.models import ErrorGroup, Status
from errors.store import groups, partitions, regressions, search_index
from errors.store.aggregates import Tally
from errors.store.groups import Key, Known
from errors.store.ids import next_id
from errors.store.payloads import Sample, pack
from errors.store.postgresql import PostgreSQL
from errors.store.sql import Batch, Dialect, Row
from errors.store.sqlite import SQLite

_TRIES = 3


@dataclass(slots=True)
class Packed:
    """An event with its payload as it will lie on the disk."""

    event: NewEvent
    data: bytes
    sample_id: int | None

    @classmethod
    def of(cls, event: NewEvent) -> "Packed":
        """Compressed against its group's sample, when this process knows one."""
        known = groups.memory.get((event.app_id, event.group_hash))
        sample = known.sample if known else None
        if sample is None:
            return cls(event, pack(event.payload), None)
        return cls(event, pack(event.payload, sample), sample.id)


@dataclass(slots=True)
class Written:
    """What a batch came to. A duplicate counts as stored: it was, the first time."""

    stored: int = 0
    duplicates: int = 0
    severities: set[str] = field(default_factory=set)


class _AfterCommit:
    """What the process may believe once the transaction has committed."""

    def __init__(self) -> None:
        self.known: dict[Key, Known] = {}
        self.samples: list[tuple[Known, Sample]] = []
        self.days: set[datetime] = set()

    def __call__(self) -> None:
        for key, known in self.known.items():
            groups.memory.put(key, known)
        for known, sample in self.samples:
            groups.memory.keep_sample(known, sample)
        for day in self.days:
            partitions.remember(day.date())


def write(events: Sequence[NewEvent]) -> Written:
    """Store the batch in a transaction of its own, or in the caller's. Raises what the database raises."""
    for attempt in range(_TRIES):
        after = _AfterCommit()
        try:
            with transaction.atomic():
                written = _write([Packed.of(event) for event in events], after)
        except BaseException as error:
            # What was remembered may be why it failed, or may not have come to be.
            groups.memory.clear()
            search_index.memory.clear()
            partitions.forget()
            if _may_come_right(error) and attempt < _TRIES - 1:
                continue
            raise
        transaction.on_commit(after)
        return written
    raise AssertionError("unreachable")


def _may_come_right(error: BaseException) -> bool:
    """Another process made the same id or group in this instant, or the two would have waited for each other for ever."""
    is_deadlock = getattr(error.__cause__, "sqlstate", "") == "40P01"
    return is_deadlock or isinstance(error, IntegrityError)


def _write(batch: Sequence[Packed], after: _AfterCommit) -> Written:
    sql: Dialect = PostgreSQL() if connection.vendor == "postgresql" else SQLite()
    written = Written()
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
        written.stored = len(new)
        written.duplicates = len(batch) - len(new)
        if not new:
            return written

        for event in {packed.event.received_at.date(): packed.event for packed, _ in new}.values():
            day = event.received_at.astimezone(UTC)
            partitions.ensure(day.date())
            after.days.add(day)

        found = groups.resolve([packed.event for packed, _ in new])
        by_id = _states(sql, cursor, found, states)
        rows = [
            (packed, found[packed.event.app_id, packed.event.group_hash], id) for packed, id in new
        ]
        tally = Tally.of((packed.event, known.group_id, id) for packed, known, id in rows)

        sql.add(
            cursor,
            Batch(
                events=[_event_row(sql, packed.event, known, id) for packed, known, id in rows],
                payloads=[(id, packed.sample_id, packed.data) for packed, _, id in rows],
                groups=[
                    (
                        group.count,
                        sql.moment(group.first_at),  # type: ignore[arg-type]
                        sql.moment(group.last_at),  # type: ignore[arg-type]
                        group.release,
                        group.last_event,
                        group_id,
                    )
                    for group_id, group in sorted(tally.groups.items())
                ],
                users=sorted(tally.users),
                hours=[(*key, n) for key, n in sorted(tally.hours.items())],
                tags=[(*key, n) for key, n in sorted(tally.tags.items())],
                minutes=[(*key, n) for key, n in sorted(tally.minutes.items())],
            ),
        )

    search_index.add(
        ((known.group_id, packed.event) for packed, known, _ in rows),
        just_made={id for id, state in by_id.items() if not state[4]},
    )
    _notice_samples(rows, by_id, after)
    after.known.update(found)
    written.severities = {packed.event.severity for packed, _ in new}
    for group_id, group in tally.groups.items():
        state = by_id[group_id]
        if groups.worse(state[2], group.severity) != state[2]:
            ErrorGroup.objects.filter(pk=group_id).update(severity=group.severity)
        if state[1] not in (Status.OPEN, Status.REGRESSED):
            of_group = [packed.event for packed, known, _ in rows if known.group_id == group_id]
            regressions.notice(group_id, of_group)
    return written


def _lockable_ids(batch: Sequence[Packed]) -> list[int]:
    """The groups to lock before anything else: all, or none where something must be looked up or made first.

    Who held some already and then waited for more, or for a lock on what is to be made, could wait in a circle with another
    node's batch.
    """
    if not all(partitions.is_made(day) for day in {one.event.received_at.date() for one in batch}):
        return []
    return groups.known_ids(packed.event for packed in batch)


def _states(
    sql: Dialect, cursor: Any, found: dict[Key, Known], at_hand: Sequence[Row]
) -> dict[int, Row]:
    """The groups' rows, locked. What the process remembered of a group that is gone or merged is put right."""
    states = {row[0]: row for row in at_hand}
    for _ in range(10):  # merges can form a chain
        ids = {known.group_id for known in found.values()} - states.keys()
        if ids:
            states |= {row[0]: row for row in sql.group_states(cursor, sorted(ids))}
        moved = False
        for known in found.values():
            state = states.get(known.group_id)
            if state is None:
                raise IntegrityError(f"group {known.group_id} is gone")
            if state[3] is not None:
                known.group_id = state[3]
                known.sample = None
                moved = True
        if not moved:
            break
    return {known.group_id: states[known.group_id] for known in found.values()}


def _event_row(sql: Dialect, event: NewEvent, known: Known, id: int) -> Row:
    return (
        id,
        event.app_id,
        known.group_id,
        sql.event_id(event.event_id),
        sql.moment(event.occurred_at),
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


def _notice_samples(
    rows: Sequence[tuple[Packed, Known, int]], states: dict[int, Row], after: _AfterCommit
) -> None:
    """From a group's second event on there is a sample; a sample that no longer fits is replaced."""
    used = {}
    asked: set[int] = set()
    for packed, known, _ in rows:
        if packed.sample_id is not None and known.sample and packed.sample_id == known.sample.id:
            known.notice(len(packed.data))
            used[known.group_id] = known
        if known.group_id in asked or not known.wants_sample():
            continue
        asked.add(known.group_id)
        if states[known.group_id][4]:  # events it had before this batch
            sample = groups.add_sample(known, packed.event.payload, packed.event.received_at)
            if sample is not None:
                after.samples.append((known, sample))
    if rows and used:
        groups.mark_used(used.values(), rows[0][0].event.received_at.date())
