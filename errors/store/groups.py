"""From a fingerprint to its group: remembered per process, looked up and made in the store's transaction."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from django.db import connection

from errors.event import fingerprint, json_codec
from errors.event.new_event import NewEvent
from errors.models import SEVERITY_RANK, ErrorGroup, GroupHash, PayloadDictionary, Severity
from errors.store.payloads import LARGEST_SAMPLE, Sample, pack, unpack

Key = tuple[int, str]  # app id, hash

_MOST_KNOWN = 20_000
_MOST_SAMPLES = 400
_POOR_IN_A_ROW = 8
_TRUSTED_FOR = 30.0  # seconds until another process's un-merge is noticed here


class Known:
    """What a process remembers about a group. Everything here may be out of date; the store checks."""

    __slots__ = ("checked_at", "group_id", "poor", "sample", "used_on")

    def __init__(self, group_id: int) -> None:
        self.group_id = group_id
        self.checked_at = time.monotonic()
        self.sample: Sample | None = None
        self.used_on: date | None = None  # the last day the sample's row was marked as used
        self.poor = 0  # payloads in a row that the sample did not help much

    def notice(self, packed_size: int) -> None:
        if self.sample is not None:
            is_poor = packed_size > 0.6 * self.sample.plain_size
            self.poor = self.poor + 1 if is_poor else 0

    def wants_sample(self) -> bool:
        return self.sample is None or self.poor >= _POOR_IN_A_ROW


class Memory:
    """The groups one process knows, bounded; samples take the most room and are forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._with_sample: OrderedDict[int, Known] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Known | None:
        return self._known.get(key)

    def put(self, key: Key, known: Known) -> None:
        with self._lock:
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)

    def keep_sample(self, known: Known, sample: Sample) -> None:
        with self._lock:
            known.sample, known.poor = sample, 0
            self._with_sample[sample.id] = known
            while len(self._with_sample) > _MOST_SAMPLES:
                _, oldest = self._with_sample.popitem(last=False)
                oldest.sample = None

    def forget(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                self._known.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._known.clear()
            self._with_sample.clear()


memory = Memory()


def known_ids(events: Iterable[NewEvent]) -> list[int]:
    """The groups that this process remembers for the events, if it remembers all; whether it is right is seen later."""
    known = {memory.get((event.app_id, event.group_hash)) for event in events}
    return sorted({one.group_id for one in known if one}) if None not in known else []


def resolve(events: Sequence[NewEvent]) -> dict[Key, Known]:
    """The groups of all events, made where they are missing; runs inside the store's transaction.

    What comes back may go into `memory` once the transaction has committed.
    """
    firsts: dict[Key, NewEvent] = {}
    for event in events:
        firsts.setdefault((event.app_id, event.group_hash), event)
    found: dict[Key, Known] = {}
    missing: list[Key] = []
    trusted_since = time.monotonic() - _TRUSTED_FOR
    for key in sorted(firsts):
        known = memory.get(key)
        if known is None or known.checked_at < trusted_since:
            missing.append(key)
        else:
            found[key] = known
    if missing:
        found.update(_look_up(missing))
        missing = [key for key in missing if key not in found]
    if missing:
        # Concurrent first events make one group: the first to come makes it, the others wait here and find it.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                for app_id in sorted({app_id for app_id, _ in missing}):
                    cursor.execute(
                        "SELECT pg_advisory_xact_lock(hashtext('errors.groups'), %s)", [app_id]
                    )
            found.update(_look_up(missing))
        for key in missing:
            if key not in found:
                found[key] = Known(_adopt(firsts[key]) or _make(firsts[key]))
    return found


def _look_up(keys: Sequence[Key]) -> dict[Key, Known]:
    hashes = GroupHash.objects.filter(
        app_id__in={app_id for app_id, _ in keys}, hash__in=[hash_ for _, hash_ in keys]
    ).values_list("app_id", "hash", "group_id")
    wanted = set(keys)
    found: dict[Key, Known] = {}
    new: list[Known] = []
    for app_id, hash_, group_id in hashes:
        key = (app_id, hash_)
        if key not in wanted:
            continue
        known = memory.get(key)
        if known is not None and known.group_id == group_id:
            known.checked_at = time.monotonic()
        else:
            known = Known(group_id)
            new.append(known)
        found[key] = known
    if new:
        _find_samples(new)
    return found


def _find_samples(groups: Sequence[Known]) -> None:
    rows = (
        PayloadDictionary.objects.filter(group_id__in={known.group_id for known in groups})
        .order_by("pk")
        .values_list("group_id", "pk", "content", "last_used_date")
    )
    newest = {group_id: (pk, bytes(content), used) for group_id, pk, content, used in rows}
    for known in groups:
        if known.group_id in newest:
            pk, content, used = newest[known.group_id]
            memory.keep_sample(known, Sample(pk, unpack(content), len(content)))
            known.used_on = used


def _adopt(event: NewEvent) -> int | None:
    """The group that an earlier version of the fingerprint made for the like; it gets the new hash beside its own."""
    for earlier in fingerprint.EARLIER:
        hash_ = earlier(json_codec.decode(event.payload))
        old = GroupHash.objects.filter(app_id=event.app_id, hash=hash_).first()
        if old is not None:
            GroupHash.objects.create(
                app_id=event.app_id,
                hash=event.group_hash,
                version=fingerprint.VERSION,
                group_id=old.group_id,
                home_id=old.home_id,
            )
            return old.group_id
    return None


def _make(event: NewEvent) -> int:
    group = ErrorGroup.objects.create(
        app_id=event.app_id,
        title=event.title,
        culprit=event.culprit,
        type=event.type,
        platform=event.platform,
        category=event.category,
        function=event.function,
        severity=event.severity,
        first_seen_at=event.received_at,
        last_seen_at=event.received_at,
        first_release=event.release,
        last_release=event.release,
    )
    GroupHash.objects.create(
        app_id=event.app_id,
        hash=event.group_hash,
        version=fingerprint.VERSION,
        group=group,
        home=group,
    )
    return group.pk


def add_sample(known: Known, payload: bytes, now: datetime) -> Sample | None:
    """Keep the payload as its group's sample; runs inside the store's transaction."""
    if len(payload) > LARGEST_SAMPLE:
        return None
    packed = pack(payload)
    row = PayloadDictionary.objects.create(
        group_id=known.group_id, content=packed, created_at=now, last_used_date=now.date()
    )
    known.used_on = now.date()
    return Sample(row.pk, payload, len(packed))


def mark_used(samples: Iterable[Known], today: date) -> None:
    """Retention keeps samples that were used lately; a row changes once a day."""
    stale = [known for known in samples if known.sample and known.used_on != today]
    if stale:
        PayloadDictionary.objects.filter(
            pk__in=sorted(known.sample.id for known in stale if known.sample),
            last_used_date__lt=today,
        ).update(last_used_date=today)
        for known in stale:
            known.used_on = today


def worse(one: str, other: str) -> str:
    if one == other:  # nearly always: an enumeration is slow to look into
        return one
    return max(one, other, key=lambda severity: SEVERITY_RANK[Severity(severity)])
