"""Define the JSON that the errors API returns and accepts."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.urls import reverse

from errors.models import ErrorEvent, ErrorGroup

MAX_GROUPS_AT_ONCE = 100


# --- what is returned ------------------------------------------------------------------------------------
class Group(msgspec.Struct, forbid_unknown_fields=True):
    """An error: a group of events with the same cause."""

    id: int
    title: str
    type: str
    culprit: str
    platform: str
    status: str
    severity: str
    first_seen_at: datetime
    last_seen_at: datetime
    event_count: int
    user_count: int
    first_release: str
    last_release: str
    resolved_in_release: str
    assigned_to: str | None
    url: str

    @classmethod
    def of(cls, group: ErrorGroup) -> "Group":
        return cls(
            id=group.pk,
            title=group.title,
            type=group.type,
            culprit=group.culprit,
            platform=group.platform,
            status=group.status,
            severity=group.severity,
            first_seen_at=group.first_seen_at,
            last_seen_at=group.last_seen_at,
            event_count=group.event_count,
            user_count=group.user_count,
            first_release=group.first_release,
            last_release=group.last_release,
            resolved_in_release=group.resolved_in_release,
            assigned_to=group.assigned_to.get_username() if group.assigned_to else None,
            url=settings.BASE_URL + reverse("errors:group-detail", args=[group.pk]),
        )


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """An entry in the history of an error. `by` is None for changes by events, API keys or deleted users."""

    kind: str
    at: datetime
    by: str | None
    text: str


class TagCount(msgspec.Struct, forbid_unknown_fields=True):
    value: str
    count: int


class GroupDetail(Group, forbid_unknown_fields=True):
    """An error with its history, newest first, its most frequent tags, and the errors merged into it."""

    notes: list[Note]
    tags: dict[str, list[TagCount]]
    merged: list[int]


class GroupPage(msgspec.Struct, forbid_unknown_fields=True):
    """A page of errors. `next_cursor` is the cursor of the next page, or "" on the last page."""

    groups: list[Group]
    next_cursor: str


class Event(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str
    group: int
    received_at: datetime
    occurred_at: datetime
    message: str
    severity: str
    environment: str
    release: str
    user: str
    request_id: str

    @classmethod
    def of(cls, event: ErrorEvent) -> "Event":
        return cls(
            event_id=event.event_id.hex,
            group=event.group_id,
            received_at=event.received_at,
            occurred_at=event.occurred_at,
            message=event.message,
            severity=event.severity,
            environment=event.environment,
            release=event.release,
            user=event.user_key,
            request_id=event.request_id,
        )


class EventPage(msgspec.Struct, forbid_unknown_fields=True):
    """A page of events. `next_cursor` is the cursor of the next page, or "" on the last page."""

    events: list[Event]
    next_cursor: str


class EventDetail(Event, forbid_unknown_fields=True):
    """An event with its payload, which is None if the payload has been deleted."""

    payload: dict[str, Any] | None


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    """The number of errors by severity in the period of `step_seconds` that begins at `at`."""

    at: datetime
    counts: dict[str, int]


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    step_seconds: int
    slots: list[Slot]


class GroupSlot(msgspec.Struct, forbid_unknown_fields=True):
    at: datetime
    count: int


class GroupCounts(msgspec.Struct, forbid_unknown_fields=True):
    slots: list[GroupSlot]


class ReleaseShown(msgspec.Struct, forbid_unknown_fields=True):
    """A release. The crash-free shares of sessions and users are percentages, or None without sessions or users."""

    version: str
    created_at: datetime
    event_count: int
    affected_user_count: int
    new_group_count: int
    regressed_group_count: int
    crash_free_sessions: float | None
    crash_free_users: float | None
    environments: list[str]


class ReleasePage(msgspec.Struct, forbid_unknown_fields=True):
    releases: list[ReleaseShown]
    next_cursor: str


class Changed(msgspec.Struct, forbid_unknown_fields=True):
    """The number of errors that the action changed, and the id of the error that a merge kept."""

    changed: int
    kept: int | None = None


class Deleted(msgspec.Struct, forbid_unknown_fields=True):
    """The response to a deletion, which names its target. Deleting many events may take some minutes."""

    deleted: str


# --- what is sent ----------------------------------------------------------------------------------------
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class GroupAction(msgspec.Struct, forbid_unknown_fields=True):
    """An action on errors. `release` is for resolve; `hours`, `events` and `users` for mute; `to` for assign.

    `text` is for comment. Without `to`, errors are unassigned. The first event for which a condition of a mute is met
    ends the mute. Without a condition, the mute ends when the error is reopened.
    """

    action: Literal["resolve", "reopen", "mute", "assign", "merge", "unmerge", "comment", "delete"]
    groups: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_GROUPS_AT_ONCE)]
    release: Annotated[str, msgspec.Meta(max_length=200)] = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 365)] | None = None
    events: Count | None = None
    users: Count | None = None
    to: Annotated[str, msgspec.Meta(max_length=150)] = ""
    text: Annotated[str, msgspec.Meta(max_length=5_000)] = ""


class UserOfEvents(msgspec.Struct, forbid_unknown_fields=True):
    """A user as in stored events: the id that the app sent, or the pseudonym of personal data."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
