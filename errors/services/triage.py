"""Change groups on behalf of staff. The history of a group records each change with its user and time.

The module errors.store.regressions makes the changes that new events cause.
"""

import uuid
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from errors.models import ErrorGroup, GroupNote, Status
from errors.services import merging

Groups = QuerySet[ErrorGroup]
UNDO_PERIOD = timedelta(hours=1)
_NO_MUTE = {"muted_until": None, "muted_until_events": None, "muted_until_users": None}


def resolve_groups(
    groups: Groups,
    *,
    user: User | None,
    now: datetime,
    release: str = "",
    batch: uuid.UUID | None = None,
) -> int:
    """Resolve the groups, and return the number changed. Events of releases older than `release` do not reopen them."""
    return _change(
        groups.exclude(status=Status.RESOLVED),
        {"status": Status.RESOLVED, "resolved_at": now, "resolved_in_release": release, **_NO_MUTE},
        kind=GroupNote.Kind.RESOLVED,
        text=f"in release {release}" if release else "",
        user=user,
        now=now,
        batch=batch,
    )


def reopen_groups(
    groups: Groups, *, user: User | None, now: datetime, batch: uuid.UUID | None = None
) -> int:
    return _change(
        groups.exclude(status=Status.OPEN),
        {"status": Status.OPEN, "resolved_at": None, "resolved_in_release": "", **_NO_MUTE},
        kind=GroupNote.Kind.REOPENED,
        user=user,
        now=now,
        batch=batch,
    )


def mute_groups(
    groups: Groups,
    *,
    user: User | None,
    now: datetime,
    until: datetime | None = None,
    events: int | None = None,
    users: int | None = None,
    batch: uuid.UUID | None = None,
) -> int:
    """Mute the groups until a time, a number of further events or a number of further users, whichever comes first.

    Without a condition, the mute lasts until staff reopen the groups. Returns the number of groups.
    """
    ends = [
        f"until {until:%Y-%m-%d %H:%M %Z}" if until else "",
        f"until {events:,} more events" if events else "",
        f"until {users:,} more users" if users else "",
    ]
    return _change(
        groups.all(),
        {
            "status": Status.MUTED,
            "muted_until": until,
            "muted_until_events": F("event_count") + events if events else None,
            "muted_until_users": F("user_count") + users if users else None,
        },
        kind=GroupNote.Kind.MUTED,
        text=" or ".join(end for end in ends if end),
        user=user,
        now=now,
        batch=batch,
    )


def assign_groups(
    groups: Groups,
    *,
    user: User | None,
    now: datetime,
    to: User | None,
    batch: uuid.UUID | None = None,
) -> int:
    others = groups.exclude(assigned_to=to) if to else groups.exclude(assigned_to=None)
    return _change(
        others,
        {"assigned_to": to},
        kind=GroupNote.Kind.ASSIGNED,
        text=f"to {to}" if to else "to no one",
        user=user,
        now=now,
        batch=batch,
    )


def add_comment(group: ErrorGroup, *, user: User | None, now: datetime, text: str) -> GroupNote:
    return GroupNote.objects.create(
        group=group, kind=GroupNote.Kind.COMMENT, at=now, by=user, text=text
    )


@transaction.atomic
def undo(batch: uuid.UUID, *, user: User, now: datetime) -> int:
    """Undo the action `batch` if `user` performed it in the last hour. Return the number of groups restored.

    A group that a person or an event has changed since the action stays unchanged.
    """
    notes = (
        GroupNote.objects.filter(batch=batch, by=user, at__gt=now - UNDO_PERIOD)
        .select_related("group")
        .order_by("group_id", "pk")
    )
    count = 0
    for note in notes:
        count += _undo_note(note, user, now)
    # An action can be undone only once.
    GroupNote.objects.filter(batch=batch, by=user).update(batch=None)
    return count


def _undo_note(note: GroupNote, user: User, now: datetime) -> bool:
    previous = dict(note.previous or {})
    if "merged" in previous:
        other = ErrorGroup.objects.filter(pk=previous["merged"], merged_into=note.group_id).first()
        if other:
            merging.unmerge_group(other, user=user, now=now)
        return other is not None
    group = ErrorGroup.objects.select_for_update().get(pk=note.group_id)
    later = group.notes.filter(pk__gt=note.pk).exclude(kind=GroupNote.Kind.COMMENT)
    if later.exists():
        return False
    ErrorGroup.objects.filter(pk=group.pk).update(**previous)
    text = GroupNote.Kind(note.kind).label
    GroupNote.objects.create(group=group, kind=GroupNote.Kind.UNDONE, at=now, by=user, text=text)
    return True


@transaction.atomic
def _change(
    groups: Groups,
    values: dict[str, object],
    *,
    kind: GroupNote.Kind,
    user: User | None,
    now: datetime,
    text: str = "",
    batch: uuid.UUID | None = None,
) -> int:
    # Lock rows in the order of their ids, like the store, to prevent deadlocks. SQLite has only one write lock anyway.
    columns = ["assigned_to_id" if name == "assigned_to" else name for name in values]
    before = list(groups.select_for_update().order_by("pk").values("pk", *columns))
    changed = ErrorGroup.objects.filter(pk__in=[row["pk"] for row in before]).update(**values)
    GroupNote.objects.bulk_create(
        GroupNote(
            group_id=row.pop("pk"),
            kind=kind,
            at=now,
            by=user,
            text=text,
            batch=batch,
            previous=row,
        )
        for row in before
    )
    return changed
