"""Convert a search of the errors list, which has words and `key:value` filters, into a queryset of groups.

Words match the titles, culprits, types and functions of a group's events. Words with a digit also match users, and ids
such as those of orders. Filters by users, tags and ids use an index. A match in the texts, users, tags or
events of a merged group finds the group that was kept.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from core.clients.queries import app_slugs
from core.lib import app_access, search_terms
from core.lib.customers import customer_references, user_references
from core.lib.search_terms import Completion, Term
from errors.event import business_refs
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
from errors.store import payloads
from errors.store.aggregates import OTHERS

_IDS = ("request_id", "order_ref", "payment_ref", "reservation_ref", "organization")
FILTERS = ("q", "app", "severity", "env")
STATES = {
    "": "Open",
    "regressed": "Regressed",
    "muted": "Muted",
    "resolved": "Resolved",
    "all": "All",
}
BY_RISK = "risk"  # Sorts by the money at risk, which is computed and has no column.
SORTS = {"": "last_seen_at", "events": "event_count", "users": "user_count", BY_RISK: ""}
IS_VALUES = (
    "open",
    "regressed",
    "resolved",
    "muted",
    "assigned",
    "unassigned",
    "mine",
    "at-risk",
    "all",
)
MAX_COMPLETIONS = 10
MAX_SCANNED_EVENTS = 1_000
KEYS = {
    "app": "App",
    "env": "Environment",
    "release": "Release",
    "severity": "critical, high, warning or info",
    "type": "Type of exception",
    "function": "Function",
    "category": "Category",
    "is": "open, regressed, resolved, muted, assigned, unassigned, mine, at-risk or all",
    "assigned": "Person to whom the error is assigned; me for yourself",
    "user": "Affected user",
    "org": "Organization",
    "order": "Order",
    "payment": "Payment",
    "reservation": "Reservation",
    "request": "Request id",
    "event": "Event id",
    "since": "Seen since, such as 24h or 2026-11-22",
    "until": "First seen until, such as 24h or 2026-11-22",
}

Groups = QuerySet[ErrorGroup]


@dataclass
class SearchResult:
    """The groups found, messages to the user about problems in the query, and the parameters that were applied."""

    groups: Groups
    problems: list[str] = field(default_factory=list)
    filters: dict[str, str] = field(default_factory=dict)


def find_groups(
    parameters: Mapping[str, str], *, user: User | AnonymousUser, now: datetime
) -> SearchResult:
    """Find the groups that match the parameters of the list's URL. An unknown state or sort order is ignored."""
    filters = {key: parameters.get(key, "") for key in (*FILTERS, "state", "sort")}
    if filters["sort"] not in SORTS:
        filters["sort"] = ""
    if filters["state"] not in STATES:
        filters["state"] = ""
    chosen = (f'{key}:"{filters[key]}"' for key in FILTERS[1:] if filters[key])
    found = search(
        " ".join([filters["q"], *chosen]),
        groups=app_access.limit(ErrorGroup.objects.visible()),
        user=user,
        now=now,
        state=filters["state"] or "unresolved",
    )
    found.filters = filters
    return found


def search(
    query: str, *, groups: Groups, user: User | AnonymousUser, now: datetime, state: str = ""
) -> SearchResult:
    """Filter the groups by a query.

    `state` (unresolved, all, a status) applies if the query has no filter `is:` other than `is:at-risk`.
    """
    result = SearchResult(groups)
    terms = search_terms.parse(query)
    if state and not any(term.key == "is" and term.value != "at-risk" for term in terms):
        terms.append(Term(state, "is"))
    for term in terms:
        try:
            condition = _condition(term, user, now)
        except ValueError as error:
            result.problems.append(str(error))
            # A query with an invalid term finds nothing, because a bulk action must not change more groups than the
            # user requested.
            result.groups = result.groups.none()
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
        timestamp = search_terms.parse_time(term.value, now)
        return (
            Q(last_seen_at__gte=timestamp)
            if term.key == "since"
            else Q(first_seen_at__lte=timestamp)
        )
    if term.key == "assigned":
        return Q(assigned_to=user.pk) if term.value == "me" else Q(assigned_to__username=term.value)
    return _tag_or_reference(term)


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
    """Return the ids of the events' groups. For a merged group, return the id of the group that was kept instead."""
    # Without distinct(), PostgreSQL compares each group with each event, which takes long for a user with many events.
    return events.values_list(Coalesce("group__merged_into_id", "group_id"), flat=True).distinct()


def _by_event(column: str) -> Callable[[str], Q]:
    # The indexes are partial and exclude empty values. SQLite uses them only if the query excludes empty values, too.
    return lambda value: Q(
        pk__in=_groups_of(ErrorEvent.objects.filter(~Q(**{column: ""}), **{column: value}))
    )


def _shown(parts: "QuerySet[GroupText] | QuerySet[GroupTag]") -> "QuerySet[Any, int]":
    return parts.values_list(Coalesce("group__merged_into_id", "group_id"), flat=True)


# None of these filters uses EXISTS: with EXISTS, SQLite scans all
# rows that have the value, or all groups, once for each group.


def _group(**fields: str) -> Q:
    """Match groups with these fields, and groups into which a group with these fields was merged."""
    merged = ErrorGroup.objects.filter(merged_into__isnull=False, **fields)
    return Q(**fields) | Q(pk__in=merged.values_list("merged_into_id", flat=True))


def _tag_or_reference(term: Term) -> Q:
    """Match groups with the tag or, if the key is a name such as `order_id`, with events that have this reference.

    Raises ValueError for any other key.
    """
    keys = [term.key] if _is_tag(term.key) else _other_spellings(term.key)
    condition = Q()
    for key in keys:
        condition |= _tag(key, term.value)
        if GroupTag.objects.filter(key=key, value=OTHERS).exists():
            condition |= _uncounted_tag(key, term.value)
    column = business_refs.column_of(term.key)
    if column in _IDS:
        condition |= _by_event(column)(term.value)
    elif column:
        condition |= _FILTERS[column](term.value)
    elif not keys:
        known = [*KEYS, *_list_tag_keys("")]
        raise ValueError(search_terms.describe_unknown_key(term.key, term.value, known))
    return condition


def _is_tag(key: str) -> bool:
    return GroupTag.objects.filter(key=key).exists()


def _other_spellings(key: str) -> list[str]:
    """Return those of the first 100 tag keys that differ from the key only in case.

    The parser converts a query's keys to lower case.
    """
    return [one for one in _list_tag_keys("") if one.lower() == key and one != key]


def _uncounted_tag(key: str, value: str) -> Q:
    """Match groups with an event that has the tag, among groups that have too many values of this tag.

    Only the newest MAX_SCANNED_EVENTS events of these groups are read.
    """
    full = GroupTag.objects.filter(key=key, value=OTHERS).values("group")
    newest = ErrorEvent.objects.filter(group__in=full).newest_first()
    group_of = dict(newest.values_list("pk", "group_id")[:MAX_SCANNED_EVENTS])
    found = {
        group_of[pk]
        for pk, payload in payloads.payloads_with(value, list(group_of))
        if payload.get("tags", {}).get(key) == value
    }
    shown = ErrorGroup.objects.filter(pk__in=found)
    return Q(pk__in=shown.values_list(Coalesce("merged_into_id", "pk"), flat=True))


def _list_tag_keys(prefix: str, limit: int = 100) -> list[str]:
    """Return at most `limit` tag keys with this prefix in alphabetical order.

    There may be millions of tags, so a separate lookup in the index finds each key.
    """
    found: list[str] = []
    keys = GroupTag.objects.filter(key__startswith=prefix) if prefix else GroupTag.objects.all()
    keys = app_access.limit(keys).order_by("key")
    while len(found) < limit:
        later = keys.filter(key__gt=found[-1]) if found else keys
        key = later.values_list("key", flat=True).first()
        if key is None:
            break
        found.append(key)
    return found


def _list_tag_values(key: str, prefix: str) -> list[str]:
    found: list[str] = []
    tags = app_access.limit(GroupTag.objects.filter(key=key))
    tags = tags.exclude(value=OTHERS).order_by("value")
    if prefix:
        tags = tags.filter(value__istartswith=prefix)
    while len(found) < MAX_COMPLETIONS:
        later = tags.filter(value__gt=found[-1]) if found else tags
        value = later.values_list("value", flat=True).first()
        if value is None:
            break
        found.append(value)
    return found


def complete(typed: str) -> Completion:
    """Return suggestions for the part of the search line before the cursor."""
    start = search_terms.complete(typed, keys=KEYS, values_of=_values_of)
    prefix = typed[start.start :].removeprefix("-")
    if ":" in prefix or '"' in prefix or len(start.suggestions) >= MAX_COMPLETIONS:
        return start
    keys = KEYS | {key: "Tag" for key in _list_tag_keys(prefix, MAX_COMPLETIONS) if key not in KEYS}
    return search_terms.complete(typed, keys=keys, values_of=_values_of)


def _values_of(key: str, prefix: str) -> list[str]:
    match key:
        case "app":
            values = app_slugs()
        case "severity" | "level":
            values = list(reversed(Severity.values))
        case "is":
            values = list(IS_VALUES)
        case "assigned":
            staff = User.objects.filter(is_staff=True, is_active=True).order_by("username")
            values = ["me", *staff.values_list("username", flat=True)]
        case "since" | "until":
            values = ["1h", "24h", "7d", "30d"]
        case "type":
            named = app_access.limit(ErrorGroup.objects.visible())
            named = named.filter(type__istartswith=prefix).exclude(type="")
            values = list(named.order_by("type").values_list("type", flat=True).distinct()[:20])
        case "env":
            return _list_tag_values("environment", prefix)
        case _:
            return _list_tag_values(key, prefix)
    return [one for one in values if one.lower().startswith(prefix.lower())]


def _tag(key: str, value: str) -> Q:
    return Q(pk__in=_shown(GroupTag.objects.filter(key=key, value=value)))


def _user(value: str) -> Q:
    """Match groups with this user. An index by user would slow down ingestion, so each group is looked up by key.

    If an app names a user by an e-mail address, the user is stored under a pseudonym of the address. The query does not
    use EXISTS, because PostgreSQL would then scan the users of all groups if there are many.
    """
    known = {user for one in customer_references(value) for user in user_references(one)}
    users = GroupUser.objects.filter(group=OuterRef("pk"), user_key__in=known).values("user_key")
    touched = ErrorGroup.objects.alias(touched=Subquery(users[:1])).exclude(touched=None)
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
    raise ValueError(f"unknown filter is:{value}; use {', '.join(IS_VALUES)}")


_FILTERS: dict[str, Callable[[str], Q]] = {
    "app": lambda value: Q(app__slug=value),
    "env": lambda value: _tag("environment", value),
    "environment": lambda value: _tag("environment", value),
    # A group's first and last release are compared too, because only a limited number of values is counted per tag.
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
