"""Convert the search line of the list, words and `key:value` filters, into a queryset of groups.

Words match the titles, culprits, types and functions of a group's events, and, if they contain a digit, the ids that
events refer to. Each filter uses an index. A merged group is found as the group that it was merged into.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from errors.models import (
    ErrorEvent,
    ErrorGroup,
    GroupTag,
    GroupText,
    GroupUser,
    SeenEvent,
    Severity,
    Status,
)
from errors.queries.pages import groups_at_risk

_TERM = re.compile(r'(-?)(?:([A-Za-z][\w.-]*):)?("(?:[^"\\]|\\.)*"|\S+)')
_SPAN = re.compile(r"(\d{1,4})([mhdw])")
_IDS = ("request_id", "order_ref", "payment_ref", "reservation_ref", "organization")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_QUERY_LENGTH = 1000  # the rest of a query is ignored

Groups = QuerySet[ErrorGroup]


@dataclass(frozen=True)
class Term:
    value: str
    key: str = ""  # "" for a word
    is_negative: bool = False


@dataclass
class SearchResult:
    """The groups found, and the problems in the query as texts for the user."""

    groups: Groups
    problems: list[str] = field(default_factory=list)


def parse(query: str) -> list[Term]:
    terms = []
    for minus, key, value in _TERM.findall(query[:MAX_QUERY_LENGTH].replace("\0", "")):
        bare = value[1:-1].replace('\\"', '"') if value[:1] == '"' == value[-1:] != value else value
        if bare:
            terms.append(Term(bare, key.lower(), bool(minus)))
    return terms


def search(
    query: str, *, groups: Groups, user: User | AnonymousUser, now: datetime, state: str = ""
) -> SearchResult:
    """Filter the groups by a query. `state` (unresolved, all, or a status) applies if the query has no `is:` filter."""
    result = SearchResult(groups)
    terms = parse(query)
    if state and not any(term.key == "is" and term.value != "at-risk" for term in terms):
        terms.append(Term(state, "is"))
    for term in terms:
        try:
            condition = _condition(term, user, now)
        except ValueError as error:
            result.problems.append(str(error))
            continue
        result.groups = result.groups.filter(~condition if term.is_negative else condition)
    return result


def _condition(term: Term, user: User | AnonymousUser, now: datetime) -> Q:
    if not term.key:
        return _word(term.value)
    known = _FILTERS.get(term.key)
    if known:
        return known(term.value)
    if term.key == "is":
        return _is(term.value, user, now)
    if term.key in ("since", "until"):
        timestamp = _timestamp(term.value, now)
        return (
            Q(last_seen_at__gte=timestamp)
            if term.key == "since"
            else Q(first_seen_at__lte=timestamp)
        )
    if term.key == "assigned":
        return Q(assigned_to=user.pk) if term.value == "me" else Q(assigned_to__username=term.value)
    return _tag(term.key, term.value)


def _word(word: str) -> Q:
    event = _event_id(word)
    if event:
        return Q(pk__in=_groups_of(ErrorEvent.objects.with_event_id(event)))
    said = Q(pk__in=_shown(GroupText.objects.filter(text__contains=word.lower())))
    if len(word) >= 3 and any(character.isdigit() for character in word):
        for column in _IDS:
            said |= _by_event(column)(word)
        said |= _user(word)
    return said


def _event_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def _groups_of(events: QuerySet[ErrorEvent]) -> QuerySet[ErrorEvent, int]:
    """Return the groups of the events; for a merged group, the one it was merged into."""
    # distinct(): otherwise PostgreSQL compares each group with each event of a busy user.
    return events.values_list(Coalesce("group__merged_into_id", "group_id"), flat=True).distinct()


def _by_event(column: str) -> Callable[[str], Q]:
    # The indexes exclude empty values, and SQLite uses such an index only if the query excludes them, too.
    return lambda value: Q(
        pk__in=_groups_of(ErrorEvent.objects.filter(~Q(**{column: ""}), **{column: value}))
    )


def _shown(parts: "QuerySet[GroupText] | QuerySet[GroupTag]") -> "QuerySet[Any, int]":
    return parts.values_list(Coalesce("group__merged_into_id", "group_id"), flat=True)


# None of these filters uses EXISTS: for each group, SQLite would scan all rows that have the value, or all groups.


def _group(**fields: str) -> Q:
    """Match the group itself, or a group that was merged into it."""
    merged = ErrorGroup.objects.filter(merged_into__isnull=False, **fields)
    return Q(**fields) | Q(pk__in=merged.values_list("merged_into_id", flat=True))


def _tag(key: str, value: str) -> Q:
    return Q(pk__in=_shown(GroupTag.objects.filter(key=key, value=value)))


def _user(value: str) -> Q:
    """Match groups with this user, by one primary-key look-up per group. An index by user would slow down ingestion.

    With EXISTS, PostgreSQL would scan the users of all groups once there are many.
    """
    users = GroupUser.objects.filter(group=OuterRef("pk"), user_key=value).values("user_key")
    touched = ErrorGroup.objects.alias(touched=Subquery(users)).filter(touched=value)
    shown = touched.values_list(Coalesce("merged_into_id", "pk"), flat=True)
    return Q(pk__in=shown.distinct())


def _severity(value: str) -> Q:
    word = {"error": "high", "fatal": "critical"}.get(value, value)
    if word not in Severity.values:
        raise ValueError(f"unknown severity {value!r}; use one of {', '.join(Severity.values)}")
    return Q(severity=word)


def _event(value: str) -> Q:
    event = _event_id(value)
    if event is None:
        raise ValueError(f"{value!r} is not an event id, which has 32 hexadecimal digits")
    seen = SeenEvent.objects.filter(event_id=event).values_list("event", flat=True)
    return Q(pk__in=_groups_of(ErrorEvent.objects.filter(pk__in=seen)))


def _is(value: str, user: User | AnonymousUser, now: datetime) -> Q:
    if value in ("all", "any"):
        return Q()
    if value in ("unresolved", "open"):
        return Q(status__in=[Status.OPEN, Status.REGRESSED])
    if value in Status.values:
        return Q(status=value)
    if value in ("assigned", "unassigned"):
        return Q(assigned_to__isnull=value == "unassigned")
    if value == "mine":
        return Q(assigned_to=user.pk)
    if value == "at-risk":
        return Q(pk__in=list(groups_at_risk(now=now)))
    raise ValueError(
        f"unknown filter is:{value}; use open, regressed, resolved, muted, assigned, unassigned, mine, at-risk or all"
    )


def _timestamp(value: str, now: datetime) -> datetime:
    """Parse `24h`, `7d`, or an ISO date or time, in UTC unless a zone is given. Raises ValueError."""
    span = _SPAN.fullmatch(value)
    if span:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        timestamp = datetime.fromisoformat(value)
        return timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is not a time; use for example 24h, 7d or 2026-11-22"
        ) from None


_FILTERS: dict[str, Callable[[str], Q]] = {
    "app": lambda value: Q(app__slug=value),
    "env": lambda value: _tag("environment", value),
    "environment": lambda value: _tag("environment", value),
    # A group's first and last release may be missing among its tags, which are limited in number.
    "release": lambda value: (
        _group(first_release=value) | _group(last_release=value) | _tag("release", value)
    ),
    "function": lambda value: _group(function=value) | _tag("function", value),
    "category": lambda value: _group(category=value) | _tag("category", value),
    "type": lambda value: _group(type=value),
    "severity": _severity,
    "level": _severity,
    "user": _user,
    "event": _event,
    "request": _by_event("request_id"),
    "order": _by_event("order_ref"),
    "payment": _by_event("payment_ref"),
    "reservation": _by_event("reservation_ref"),
    "org": _by_event("organization"),
}
