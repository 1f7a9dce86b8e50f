"""Group events by their resolved frames, so that errors in the same original code are one group in all builds.

The store counted the events in the groups of their minified frames, so the counts move with the events.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Greatest, Least

from errors.event import fingerprint
from errors.event.build import MAX_COUNTED_TAGS
from errors.event.new_event import NewEvent
from errors.models import (
    ErrorEvent,
    ErrorGroup,
    EventPayload,
    GroupHash,
    GroupHour,
    GroupTag,
    GroupUser,
    Status,
)
from errors.store import payloads, regressions, search_index
from errors.store.aggregates import Aggregates
from errors.store.groups import group_cache, worse_severity

Kind = GroupHash.Kind


@dataclass(frozen=True)
class Resolved:
    """An event whose frames were resolved: its fingerprints before and after that, and new texts for its group."""

    event: ErrorEvent
    minified_hash: str
    original_hash: str
    # Hashes that earlier versions of the algorithm compute for the original frames.
    earlier_hashes: Sequence[str]
    title: str
    culprit: str
    type: str
    tags: Sequence[tuple[str, str]]


def regroup(resolved: Resolved) -> int:
    """Move the event to the group of its original code, and return the group's id. Requires a transaction."""
    event = resolved.event
    now_in = _root(event.group_id)
    if resolved.original_hash == resolved.minified_hash:
        return now_in.pk
    before = GroupHash.objects.filter(app_id=event.app_id, hash=resolved.minified_hash).first()
    known = _known_hash(resolved)
    if known is None:
        is_old = before is None or before.kind == Kind.STORED
        is_first = not now_in.hashes.filter(kind=Kind.ORIGINAL).exists()
        # The event stays in its group if the group has no original code yet. It also stays if the group has events from
        # before the app had source maps, because such a group is never split.
        if is_old or is_first:
            target = now_in
            _show_original(target, resolved)
        else:
            target = _new_group(resolved, now_in)
        GroupHash.objects.get_or_create(
            app_id=event.app_id,
            hash=resolved.original_hash,
            defaults={
                "version": fingerprint.VERSION,
                "kind": Kind.ORIGINAL,
                "group": target,
                "home": target,
            },
        )
    else:
        target = known.group
    if target.pk != now_in.pk:
        _move(resolved, now_in, target)
    return target.pk


def _known_hash(resolved: Resolved) -> GroupHash | None:
    """Return the row of the original code's fingerprint, or None.

    If only a fingerprint of an earlier version has a row, add a row for the current version.
    """
    hashes = GroupHash.objects.filter(app_id=resolved.event.app_id)
    known = hashes.filter(hash=resolved.original_hash).first()
    if known is not None:
        return known
    for earlier in resolved.earlier_hashes:
        old = hashes.filter(hash=earlier, kind=Kind.ORIGINAL).first()
        if old is not None:
            return GroupHash.objects.create(
                app_id=resolved.event.app_id,
                hash=resolved.original_hash,
                version=fingerprint.VERSION,
                kind=Kind.ORIGINAL,
                group=old.group,
                home=old.home,
            )
    return None


def _root(group_id: int) -> ErrorGroup:
    group = ErrorGroup.objects.get(pk=group_id)
    return ErrorGroup.objects.get(pk=group.merged_into_id) if group.merged_into_id else group


def _show_original(group: ErrorGroup, resolved: Resolved) -> None:
    group.culprit = resolved.culprit
    ErrorGroup.objects.filter(pk=group.pk).update(culprit=resolved.culprit)
    _index(group.pk, resolved)


def _index(group_id: int, resolved: Resolved) -> None:
    search_index.text_cache.remove([group_id])
    search_index.add([(group_id, _as_new(resolved))], new_groups=())


def _new_group(resolved: Resolved, like: ErrorGroup) -> ErrorGroup:
    event = resolved.event
    return ErrorGroup.objects.create(
        app_id=event.app_id,
        title=resolved.title,
        culprit=resolved.culprit,
        type=resolved.type,
        platform=like.platform,
        category=event.category,
        function=event.function,
        severity=event.severity,
        first_seen_at=event.received_at,
        last_seen_at=event.received_at,
        first_release=event.release,
        last_release=event.release,
    )


def remove_event(event: ErrorEvent, tags: Mapping[str, str]) -> None:
    """Lower the counts of a deleted event's group. Call this in the transaction that deletes the event."""
    group = ErrorGroup.objects.select_for_update().filter(pk=event.group_id).first()
    if group is None:
        return
    shown = _root(group.pk)
    ErrorGroup.objects.select_for_update().get(pk=shown.pk)
    new = NewEvent(
        app_id=event.app_id,
        event_id=uuid.UUID(str(event.event_id)).hex,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        group_hash="",
        title="",
        payload=b"",
        severity=event.severity,
        environment=event.environment,
        release=event.release,
        category=event.category,
        function=event.function,
        user_key=event.user_key,
        tags=tuple(tags.items())[:MAX_COUNTED_TAGS],
    )
    _remove_counts(Aggregates.of([(new, group.pk, event.pk)]), shown, group.pk, new)


def _as_new(resolved: Resolved) -> NewEvent:
    event = resolved.event
    return NewEvent(
        app_id=event.app_id,
        event_id=uuid.UUID(str(event.event_id)).hex,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        group_hash=resolved.original_hash,
        title=resolved.title,
        payload=b"",
        severity=event.severity,
        culprit=resolved.culprit,
        type=resolved.type,
        environment=event.environment,
        release=event.release,
        category=event.category,
        function=event.function,
        user_key=event.user_key,
        tags=tuple(resolved.tags)[:MAX_COUNTED_TAGS],
    )


def _move(resolved: Resolved, source: ErrorGroup, target: ErrorGroup) -> None:
    """Move an event and its counts to `target`. Also merge `source` if it is empty and staff have not changed it."""
    event, new = resolved.event, _as_new(resolved)
    # The store also locks groups in the order of their ids, so the two cannot deadlock.
    ids = sorted((source.pk, target.pk))
    locked = {
        g.pk: g for g in ErrorGroup.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    }
    source, target = locked[source.pk], locked[target.pk]
    old_group_id = event.group_id
    ErrorEvent.objects.filter(pk=event.pk).update(group_id=target.pk)
    event.group_id = target.pk
    _keep_payload(event.pk, target)
    counted = Aggregates.of([(new, target.pk, event.pk)])
    _add_counts(counted, target, new, event)
    _remove_counts(counted, source, old_group_id, new)
    if target.status in (Status.RESOLVED, Status.MUTED):
        regressions.update_status(target.pk, [new])
    _index(target.pk, resolved)
    GroupHash.objects.filter(
        app_id=event.app_id, hash=resolved.minified_hash, kind=Kind.MINIFIED
    ).update(group=target)
    source.refresh_from_db()
    if not source.event_count and not source.notes.exists() and source.assigned_to_id is None:
        GroupHash.objects.filter(group=source).update(group=target)
        ErrorGroup.objects.filter(merged_into=source).update(merged_into=target)
        ErrorGroup.objects.filter(pk=source.pk).update(merged_into=target)
    transaction.on_commit(group_cache.clear)


def _keep_payload(event_id: int, target: ErrorGroup) -> None:
    """Make the payload independent of the dictionary of another group, which is deleted with that group."""
    compressed = EventPayload.objects.filter(pk=event_id, dictionary__isnull=False)
    if compressed.exclude(dictionary__group=target.pk).exists():
        payloads.drop_dictionaries([event_id])


def _add_counts(counted: Aggregates, target: ErrorGroup, new: NewEvent, event: ErrorEvent) -> None:
    [(_, hour)] = counted.hours
    _increment(GroupHour, {"group_id": target.pk, "hour": hour}, 1)
    for (_, key, value), count in counted.tags.items():
        _increment(GroupTag, {"group_id": target.pk, "key": key, "value": value}, count)
    is_new_user = False
    if new.user_key:
        _, is_new_user = GroupUser.objects.get_or_create(group_id=target.pk, user_key=new.user_key)
    is_latest = target.last_event is None or event.pk > target.last_event
    ErrorGroup.objects.filter(pk=target.pk).update(
        event_count=F("event_count") + 1,
        user_count=F("user_count") + int(is_new_user),
        first_seen_at=Least("first_seen_at", new.received_at),
        last_seen_at=Greatest("last_seen_at", new.received_at),
        severity=worse_severity(target.severity, new.severity),
        **(
            {"last_event": event.pk, "last_release": new.release or target.last_release}
            if is_latest
            else {}
        ),
    )


def _increment(model: type[GroupHour] | type[GroupTag], key: dict[str, object], count: int) -> None:
    _, is_new = model._default_manager.get_or_create(**key, defaults={"count": count})
    if not is_new:
        model._default_manager.filter(**key).update(count=F("count") + count)


def _remove_counts(
    counted: Aggregates, source: ErrorGroup, old_group_id: int, new: NewEvent
) -> None:
    [(_, hour)] = counted.hours
    _decrement(GroupHour, {"group_id": old_group_id, "hour": hour}, 1)
    for (_, key, value), count in counted.tags.items():
        _decrement(GroupTag, {"group_id": old_group_id, "key": key, "value": value}, count)
    rest = ErrorEvent.objects.filter(group_id=old_group_id)
    lost_user = 0
    if new.user_key and not rest.filter(user_key=new.user_key).exists():
        lost_user = GroupUser.objects.filter(group_id=old_group_id, user_key=new.user_key).delete()[
            0
        ]
    last_event = rest.aggregate(last=Max("pk"))["last"]
    ErrorGroup.objects.filter(pk=old_group_id).update(
        event_count=Greatest(F("event_count") - 1, 0),
        user_count=Greatest(F("user_count") - lost_user, 0),
        last_event=last_event,
    )
    # If the event's own group is merged into `source`, both groups counted the event.
    if source.pk != old_group_id:
        ErrorGroup.objects.filter(pk=source.pk).update(
            event_count=Greatest(F("event_count") - 1, 0)
        )


def _decrement(model: type[GroupHour] | type[GroupTag], key: dict[str, object], count: int) -> None:
    rows = model._default_manager.filter(**key)
    rows.filter(count__lte=count).delete()
    rows.update(count=F("count") - count)
