"""Look up groups by fingerprint, first in this process's cache, and create missing ones in the store's transaction."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from django.db import IntegrityError, connection

from errors.event import fingerprint, json_codec
from errors.event.new_event import NewEvent
from errors.models import SEVERITY_RANK, ErrorGroup, GroupHash, PayloadDictionary, Severity
from errors.store import to_resolve
from errors.store.payloads import (
    MAX_DICTIONARY_BYTES,
    Dictionary,
    pack,
    unpack,
    without_person,
)

Key = tuple[int, str]  # Consists of the app's id and the fingerprint.

MAX_ENTRIES = 20_000
MAX_DICTIONARIES = 400
MAX_MISSES = 8  # A dictionary is replaced after this many badly compressed payloads in a row.
TRUSTED_SECONDS = 30.0  # An older cache entry is compared with the database again.


class GroupCacheEntry:
    """A group as this process last read it. If the group has been merged since then, the store corrects the entry."""

    __slots__ = ("checked_at", "dictionary", "group_id", "misses", "used_on")

    def __init__(self, group_id: int) -> None:
        self.group_id = group_id
        self.checked_at = time.monotonic()
        self.dictionary: Dictionary | None = None
        # Date on which the dictionary's row was last marked as used.
        self.used_on: date | None = None
        # Counts consecutive payloads that the dictionary compressed badly.
        self.misses = 0

    def record_use(self, packed_size: int) -> None:
        if self.dictionary is not None:
            is_miss = packed_size > 0.6 * self.dictionary.plain_size
            self.misses = self.misses + 1 if is_miss else 0

    def needs_dictionary(self) -> bool:
        return self.dictionary is None or self.misses >= MAX_MISSES


class GroupCache:
    """The groups that this process used last. Fewer dictionaries are kept, because they take the most memory."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, GroupCacheEntry] = OrderedDict()
        self._with_dictionary: OrderedDict[int, GroupCacheEntry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> GroupCacheEntry | None:
        return self._entries.get(key)

    def put(self, key: Key, entry: GroupCacheEntry) -> None:
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)

    def put_dictionary(self, entry: GroupCacheEntry, dictionary: Dictionary) -> None:
        with self._lock:
            entry.dictionary, entry.misses = dictionary, 0
            self._with_dictionary[dictionary.id] = entry
            while len(self._with_dictionary) > MAX_DICTIONARIES:
                _, oldest = self._with_dictionary.popitem(last=False)
                oldest.dictionary = None

    def remove(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._with_dictionary.clear()


group_cache = GroupCache()


def cached_group_ids(events: Iterable[NewEvent]) -> list[int]:
    """Return the ids of the events' groups, or [] if any group is not cached. The ids may be out of date."""
    entries = {group_cache.get((event.app_id, event.group_hash)) for event in events}
    return sorted({entry.group_id for entry in entries if entry}) if None not in entries else []


def resolve(events: Sequence[NewEvent]) -> dict[Key, GroupCacheEntry]:
    """Return the groups of all events, and create the missing groups. Runs inside the store's transaction.

    The caller may add the returned entries to `group_cache` once the transaction has committed.
    """
    firsts: dict[Key, NewEvent] = {}
    for event in events:
        firsts.setdefault((event.app_id, event.group_hash), event)
    found: dict[Key, GroupCacheEntry] = {}
    missing: list[Key] = []
    trusted_since = time.monotonic() - TRUSTED_SECONDS
    for key in sorted(firsts):
        entry = group_cache.get(key)
        if entry is None or entry.checked_at < trusted_since:
            missing.append(key)
        else:
            found[key] = entry
    if missing:
        found.update(_look_up(missing))
        missing = [key for key in missing if key not in found]
    if missing:
        # Concurrent first events must create only one group. One transaction creates
        # it, while other transactions wait for the lock and then find the group.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                for app_id in sorted({app_id for app_id, _ in missing}):
                    cursor.execute(
                        "SELECT pg_advisory_xact_lock(hashtext('errors.groups'), %s)", [app_id]
                    )
            found.update(_look_up(missing))
        for key in missing:
            if key not in found:
                found[key] = GroupCacheEntry(
                    _adopt_earlier_group(firsts[key]) or _create_group(firsts[key])
                )
    return found


def _look_up(keys: Sequence[Key]) -> dict[Key, GroupCacheEntry]:
    hashes = GroupHash.objects.filter(
        app_id__in={app_id for app_id, _ in keys}, hash__in=[hash_ for _, hash_ in keys]
    ).values_list("app_id", "hash", "group_id")
    wanted = set(keys)
    found: dict[Key, GroupCacheEntry] = {}
    new: list[GroupCacheEntry] = []
    for app_id, hash_, group_id in hashes:
        key = (app_id, hash_)
        if key not in wanted:
            continue
        entry = group_cache.get(key)
        if entry is not None and entry.group_id == group_id:
            entry.checked_at = time.monotonic()
        else:
            entry = GroupCacheEntry(group_id)
            new.append(entry)
        found[key] = entry
    if new:
        _load_dictionaries(new)
    return found


def _load_dictionaries(groups: Sequence[GroupCacheEntry]) -> None:
    rows = (
        PayloadDictionary.objects.filter(group_id__in={entry.group_id for entry in groups})
        .order_by("pk")
        .values_list("group_id", "pk", "content", "last_used_date")
    )
    newest = {group_id: (pk, bytes(content), used) for group_id, pk, content, used in rows}
    for entry in groups:
        if entry.group_id in newest:
            pk, packed, used = newest[entry.group_id]
            content = unpack(packed)
            # Earlier versions stored dictionaries that contain a person. Without use, retention deletes them.
            if without_person(content) == content:
                group_cache.put_dictionary(entry, Dictionary(pk, content, len(packed)))
                entry.used_on = used


def _adopt_earlier_group(event: NewEvent) -> int | None:
    """Find a group by an earlier version of the fingerprint, and add the current hash. Return its id, or None."""
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


def _kind_of(event: NewEvent) -> GroupHash.Kind:
    is_minified = to_resolve.may_be_minified(event)
    return GroupHash.Kind.MINIFIED if is_minified else GroupHash.Kind.STORED


def _create_group(event: NewEvent) -> int:
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
        kind=_kind_of(event),
        group=group,
        home=group,
    )
    return group.pk


def create_dictionary(entry: GroupCacheEntry, payload: bytes, now: datetime) -> Dictionary | None:
    """Store the payload without its person as the dictionary of its group, or return None if it is too large.

    Runs inside the store's transaction. The caller may cache the dictionary after the commit.
    """
    if len(payload) > MAX_DICTIONARY_BYTES:
        return None
    content = without_person(payload)
    packed = pack(content)
    row = PayloadDictionary.objects.create(
        group_id=entry.group_id, content=packed, created_at=now, last_used_date=now.date()
    )
    entry.used_on = now.date()
    return Dictionary(row.pk, content, len(packed))


def mark_used(dictionaries: Iterable[GroupCacheEntry], today: date) -> None:
    """Mark the dictionaries as used today, so that retention keeps them. A row is updated at most once a day.

    Raises IntegrityError if a dictionary has been deleted, which happens to groups without events for a long time.
    """
    stale = [entry for entry in dictionaries if entry.dictionary and entry.used_on != today]
    if not stale:
        return
    ids = {entry.dictionary.id for entry in stale if entry.dictionary}
    rows = PayloadDictionary.objects.filter(pk__in=sorted(ids))
    marked = rows.filter(last_used_date__lt=today).update(last_used_date=today)
    # Rows that other processes have marked today are not updated.
    if marked < len(ids) and rows.count() < len(ids):
        raise IntegrityError("a dictionary has been deleted")
    for entry in stale:
        entry.used_on = today


def worse_severity(one: str, other: str) -> str:
    if one == other:  # The values are usually equal, and enum lookups are slow.
        return one
    return max(one, other, key=lambda severity: SEVERITY_RANK[Severity(severity)])
