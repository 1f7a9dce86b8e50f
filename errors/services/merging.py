"""Merge and unmerge groups.

A merge moves fingerprints, not events. New events go to the group that is kept; earlier events stay in their groups,
and pages show them with the kept group. Therefore, merging a million events is as fast as merging two, and an unmerge
gives the earlier events back. Events that arrived while the groups were merged stay in the kept group.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from errors.exceptions import CannotMerge
from errors.models import ErrorGroup, GroupHash, GroupNote, GroupUser
from errors.store.groups import group_cache, worse_severity


@transaction.atomic
def merge_groups(
    groups: Sequence[ErrorGroup],
    *,
    user: User | None,
    now: datetime,
    batch: uuid.UUID | None = None,
) -> ErrorGroup:
    """Merge the groups into the oldest one and return it. Groups that are already merged are ignored.

    Raises CannotMerge for fewer than two groups or for several apps.
    """
    ids = sorted({group.pk for group in groups})
    locked = list(
        ErrorGroup.objects.visible().filter(pk__in=ids).select_for_update().order_by("pk")
    )
    if len(locked) < 2:
        raise CannotMerge("select at least two errors to merge")
    if len({group.app_id for group in locked}) > 1:
        raise CannotMerge("errors of different apps cannot be merged")
    kept = min(locked, key=lambda group: (group.first_seen_at, group.pk))
    for other in locked:
        if other != kept:
            _absorb(kept, other)
            _add_note(
                kept,
                GroupNote.Kind.MERGED,
                f"with #{other.pk}: {other.title}",
                user,
                now,
                batch=batch,
                previous={"merged": other.pk},
            )
    kept.user_count = _count_users(kept)
    kept.save()
    transaction.on_commit(group_cache.clear)
    return kept


def _absorb(kept: ErrorGroup, other: ErrorGroup) -> None:
    ErrorGroup.objects.filter(merged_into=other).update(merged_into=kept)
    GroupHash.objects.filter(group=other).update(group=kept)
    other.merged_into = kept
    other.save(update_fields=["merged_into"])
    kept.event_count += other.event_count
    kept.first_seen_at = min(kept.first_seen_at, other.first_seen_at)
    kept.last_seen_at = max(kept.last_seen_at, other.last_seen_at)
    kept.severity = worse_severity(kept.severity, other.severity)


@transaction.atomic
def unmerge_group(other: ErrorGroup, *, user: User | None, now: datetime) -> ErrorGroup:
    """Unmerge a group, so that it gets back its fingerprints and earlier events, and return it.

    If the group is not merged, return it unchanged.
    """
    other = ErrorGroup.objects.select_for_update().get(pk=other.pk)
    if other.merged_into_id is None:
        return other
    kept = ErrorGroup.objects.select_for_update().get(pk=other.merged_into_id)
    GroupHash.objects.filter(home=other).update(group=other)
    other.merged_into = None
    other.save(update_fields=["merged_into"])
    kept.event_count = max(0, kept.event_count - other.event_count)
    kept.user_count = _count_users(kept)
    kept.save(update_fields=["event_count", "user_count"])
    _add_note(kept, GroupNote.Kind.UNMERGED, f"from #{other.pk}: {other.title}", user, now)
    _add_note(other, GroupNote.Kind.UNMERGED, f"from #{kept.pk}: {kept.title}", user, now)
    transaction.on_commit(group_cache.clear)
    return other


def _count_users(group: ErrorGroup) -> int:
    family = ErrorGroup.objects.filter(Q(pk=group.pk) | Q(merged_into=group))
    users = GroupUser.objects.filter(group__in=family)
    return users.values("user_key").distinct().count()


def _add_note(
    group: ErrorGroup,
    kind: GroupNote.Kind,
    text: str,
    user: User | None,
    now: datetime,
    *,
    batch: uuid.UUID | None = None,
    previous: Mapping[str, object] | None = None,
) -> None:
    GroupNote.objects.create(
        group=group, kind=kind, at=now, by=user, text=text, batch=batch, previous=previous
    )
