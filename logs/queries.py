"""Search log entries, and find the entries that belong to an event or to a trace."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Max, Min, Q, QuerySet

from core.clients.models import ClientApp
from core.clients.queries import app_slugs
from core.lib import search_terms
from core.lib.app_access import limit
from core.lib.search_terms import Completion, Term
from errors.models import ErrorEvent
from errors.models.events import received_id, received_time
from errors.queries.event_page import pairs
from errors.queries.traces import events_of_trace
from logs import search_index
from logs.models import Kind, Level, LogEntry
from logs.records import word_of_attribute

Entries = QuerySet[LogEntry]

KEYS = {
    "app": "App",
    "level": "trace, debug, info, warn, error or fatal; separate several with commas",
    "env": "Environment",
    "release": "Release",
    "trace": "Trace id",
    "request": "Request id",
    "is": "log or request",
    "since": "Since, such as 1h or 2026-11-22",
    "until": "Until, such as 1h or 2026-11-22",
}
FILTERS = ("q", "app", "level")
# Times in a search are clamped to this range, because ids cannot encode other times.
_FIRST_TIME, _LAST_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# In Sentry and OpenTelemetry, these attributes name the user of an entry.
USER_ATTRIBUTES = ("user.id", "user.name", "user.email", "enduser.id")
MAX_RELATED = 100  # An event's page omits earlier entries.
# Events and log entries of one trace may be this far apart, because clients send them in separate requests.
_BEFORE_TRACE = timedelta(minutes=1)
_AFTER_TRACE = timedelta(minutes=5)


@dataclass
class SearchResult:
    """The entries found, messages to the user about problems in the query, and the trace id that the query requires."""

    entries: Entries
    problems: list[str] = field(default_factory=list)
    trace_id: str = ""


def search(parameters: Mapping[str, str], *, now: datetime) -> SearchResult:
    """Find the entries that match the page's URL parameters. An invalid term yields no entries, and a message."""
    chosen = (f'{key}:"{parameters[key]}"' for key in FILTERS[1:] if parameters.get(key))
    terms = search_terms.parse(" ".join([parameters.get("q", ""), *chosen]))
    result = SearchResult(limit(LogEntry.objects.all()))
    phrases: list[list[str]] = []
    for term in terms:
        try:
            words = _words(term)
            if words is None:
                condition = _condition(term, now)
            elif term.is_negative:
                condition = Q(search_index.matching([words]))
            else:
                phrases.append(words)
                continue
        except ValueError as error:
            result.problems.append(str(error))
            result.entries = result.entries.none()
            continue
        result.entries = result.entries.filter(~condition if term.is_negative else condition)
        if term.key == "trace" and not term.is_negative:
            result.trace_id = _hex(term.value)
    if phrases:
        result.entries = result.entries.filter(search_index.matching(phrases))
    return result


def _words(term: Term) -> list[str] | None:
    """Return the words to look up in the search index, or None if the term filters by a column.

    Raises ValueError for a term without letters and digits.
    """
    if term.key in KEYS or term.key == "environment":
        return None
    if term.key:
        return [word_of_attribute(term.key, term.value)]
    words = search_index.split(term.value)
    if not words:
        raise ValueError(f"{term.value!r} contains no letters or digits to search for")
    return words


def _condition(term: Term, now: datetime) -> Q:
    value = term.value
    match term.key:
        case "app":
            return Q(
                app__in=list(ClientApp.objects.filter(slug=value).values_list("pk", flat=True))
            )
        case "level":
            return Q(level__in=_levels(value))
        case "env" | "environment":
            return Q(environment=value)
        case "release":
            return Q(release=value)
        case "trace":
            return ~Q(trace_id="") & Q(trace_id=_hex(value))
        case "request":
            return ~Q(request_id="") & Q(request_id=value)
        case "is":
            if value not in Kind.values:
                raise ValueError(f"unknown filter is:{value}; use {' or '.join(Kind.values)}")
            return Q(kind=value)
    at = min(max(search_terms.parse_time(value, now), _FIRST_TIME), _LAST_TIME)
    # The id of an entry encodes its time, so a period corresponds to a range of ids.
    if term.key == "since":
        return Q(pk__gte=received_id(at))
    return Q(pk__lt=received_id(at))


def _hex(value: str) -> str:
    return value.replace("-", "").lower()


def _levels(value: str) -> list[str]:
    named = [
        {"warning": "warn", "critical": "fatal"}.get(one, one) for one in value.lower().split(",")
    ]
    if unknown := [one for one in named if one not in Level.values]:
        raise ValueError(f"unknown level {unknown[0]!r}; use one of {', '.join(Level.values)}")
    return named


def complete(typed: str) -> Completion:
    """Return suggestions for the part of the search line before the cursor."""
    return search_terms.complete(typed, keys=KEYS, values_of=_values_of)


def _values_of(key: str, prefix: str) -> list[str]:
    match key:
        case "app":
            values = app_slugs()
        case "level":
            values = list(Level.values)
        case "is":
            values = list(Kind.values)
        case "since" | "until":
            values = ["15m", "1h", "24h", "3d"]
        case _:
            values = []
    return [one for one in values if one.startswith(prefix.lower())]


def entries_around(event: ErrorEvent, trace_id: str) -> list[LogEntry]:
    """Return the log entries of the event's trace and request, oldest first.

    The result ends one minute after the event was received and contains only the last MAX_RELATED entries.
    """
    until = event.received_at + _BEFORE_TRACE
    found: dict[int, LogEntry] = {}
    earlier = limit(LogEntry.objects.filter(pk__lt=received_id(until))).order_by("-pk")
    if trace_id:
        found |= {one.pk: one for one in earlier.of_trace(trace_id)[:MAX_RELATED]}
    if event.request_id:
        of_app = earlier.filter(app=event.app_id)
        found |= {one.pk: one for one in of_app.of_request(event.request_id)[:MAX_RELATED]}
    return [found[pk] for pk in sorted(found)[-MAX_RELATED:]]


def errors_of_trace(trace_id: str) -> list[ErrorEvent]:
    """Return the events of a trace, or [] if it has no log entries, which determine the time range to search."""
    ends = LogEntry.objects.of_trace(trace_id).aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return []
    since, until = (received_time(ends[key]) for key in ("first", "last"))
    return events_of_trace(trace_id, since=since - _BEFORE_TRACE, until=until + _AFTER_TRACE)


def attributes_of(entry: LogEntry) -> list[tuple[str, str, bool]]:
    """Return (name, text, is_searchable) for each attribute, sorted by name.

    The client's order is unknown, because PostgreSQL does not preserve the order of JSON keys.
    """
    return [
        (name, text, isinstance(entry.attributes.get(name), str | int | float) and len(text) < 200)
        for name, text in pairs(dict(sorted(entry.attributes.items())))
    ]


def entries_of_users(users: Collection[str]) -> Entries:
    """Return the entries in which one of USER_ATTRIBUTES has one of these values."""
    if not users:
        return LogEntry.objects.none()
    found = Q()
    for user in users:
        for name in USER_ATTRIBUTES:
            found |= Q(search_index.matching([[word_of_attribute(name, user)]]))
    return LogEntry.objects.filter(found)
