"""What staff do to groups. Each returns how many it changed, keeps who and when, and leaves the others alone.

What an arriving event does to them is in errors.store.regressions.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from errors.models import ErrorGroup, GroupNote, Status

Groups = QuerySet[ErrorGroup]
_NO_MUTE = {"muted_until": None, "muted_until_events": None, "muted_until_users": None}


def resolve_groups(groups: Groups, *, user: User, now: datetime, release: str = "") -> int:
    """With a release, events of older ones do not reopen the group."""
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
    """Until the moment, so many more events, or so many more users, whichever comes first; without any, until reopened."""
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


def comment(group: ErrorGroup, *, user: User, now: datetime, text: str) -> GroupNote:
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
    # Locked in the store's order. SQLite has no row locks, but its transactions here take the write lock first.
    ids = list(groups.select_for_update().order_by("pk").values_list("pk", flat=True))
    changed = ErrorGroup.objects.filter(pk__in=ids).update(**values)
    GroupNote.objects.bulk_create(
        GroupNote(group_id=pk, kind=kind, at=now, by=user, text=text) for pk in ids
    )
    return changed
