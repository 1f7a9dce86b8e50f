"""Staff actions on groups. Each records the user and time, and returns the number of groups that it changed.

Changes caused by new events are in errors.store.regressions.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from errors.models import ErrorGroup, GroupNote, Status

Groups = QuerySet[ErrorGroup]
_NO_MUTE = {"muted_until": None, "muted_until_events": None, "muted_until_users": None}


def resolve_groups(groups: Groups, *, user: User, now: datetime, release: str = "") -> int:
    """Resolve the groups. With a release, events of older releases do not reopen them."""
    return _change(
        groups.exclude(status=Status.RESOLVED),
        {"status": Status.RESOLVED, "resolved_at": now, "resolved_in_release": release, **_NO_MUTE},
        kind=GroupNote.Kind.RESOLVED,
        text=f"in release {release}" if release else "",
        user=user,
        now=now,
    )


def reopen_groups(groups: Groups, *, user: User, now: datetime) -> int:
    return _change(
        groups.exclude(status=Status.OPEN),
        {"status": Status.OPEN, "resolved_at": None, "resolved_in_release": "", **_NO_MUTE},
        kind=GroupNote.Kind.REOPENED,
        user=user,
        now=now,
    )


def mute_groups(
    groups: Groups,
    *,
    user: User,
    now: datetime,
    until: datetime | None = None,
    events: int | None = None,
    users: int | None = None,
) -> int:
    """Mute until a time, a number of further events or a number of further users, whichever comes first.

    Without any of them, the mute lasts until the groups are reopened.
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
    )


def assign_groups(groups: Groups, *, user: User, now: datetime, to: User | None) -> int:
    others = groups.exclude(assigned_to=to) if to else groups.exclude(assigned_to=None)
    return _change(
        others,
        {"assigned_to": to},
        kind=GroupNote.Kind.ASSIGNED,
        text=f"to {to}" if to else "to nobody",
        user=user,
        now=now,
    )


def add_comment(group: ErrorGroup, *, user: User, now: datetime, text: str) -> GroupNote:
    return GroupNote.objects.create(
        group=group, kind=GroupNote.Kind.COMMENT, at=now, by=user, text=text
    )


@transaction.atomic
def _change(
    groups: Groups,
    values: dict[str, object],
    *,
    kind: GroupNote.Kind,
    user: User,
    now: datetime,
    text: str = "",
) -> int:
    # Lock in the same order as the store. On SQLite the transaction itself holds the write lock.
    ids = list(groups.select_for_update().order_by("pk").values_list("pk", flat=True))
    changed = ErrorGroup.objects.filter(pk__in=ids).update(**values)
    GroupNote.objects.bulk_create(
        GroupNote(group_id=pk, kind=kind, at=now, by=user, text=text) for pk in ids
    )
    return changed
