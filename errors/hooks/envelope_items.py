"""Handle envelope items other than events: transactions, spans, sessions, check-ins, user and client reports."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.lib.scrub import scrub_text
from errors.event import timestamps
from errors.event.build import event_id_of, release_of
from errors.extension_points import ReceivedItem, TracedRequest, item_type, traced_requests
from errors.models import Discarded, UserReport
from errors.services import discarded, measured
from errors.services import sessions as session_counts
from errors.services.sessions import Sessions
from health.services import TooManyHeartbeats, parse_config, record_check_in
from health.signals import MAX_WEIGHT, Activity, Counter, Performance

_FAILED = frozenset((
    "internal_error", "internal", "unknown_error", "unknown", "unavailable", "data_loss", "deadline_exceeded",
    "resource_exhausted", "aborted", "unimplemented",
))  # fmt: skip
_PAGES = frozenset(("pageload", "navigation", "ui.load"))
_MAX_DURATION_MS = 86_400_000.0


@item_type("transaction")
def transaction(item: ReceivedItem) -> None:
    """Record a transaction's name, duration and status, without its spans.

    Raises TypeError if the payload is not an object, and ValueError if it lacks a start or end time.
    """
    payload = _object(item.payload)
    start = timestamps.parse(payload.get("start_timestamp"))
    end = timestamps.parse(payload.get("timestamp"))
    if start is None or end is None:
        raise ValueError("the transaction has no start or end time")
    contexts = payload.get("contexts")
    trace = contexts.get("trace") if isinstance(contexts, dict) else None
    trace = trace if isinstance(trace, dict) else {}
    measurement = _performance(
        payload.get("transaction"),
        start,
        end,
        operation=trace.get("op"),
        ok=str(trace.get("status") or "ok") not in _FAILED,
        sample_rate=_sample_rate(item.envelope.get("trace"), trace),
        environment=payload.get("environment"),
    )
    measured.add(item.project.app, [measurement])
    _hand_over(item, [_request_of_transaction(payload, trace, measurement, start)])


def _request_of_transaction(
    payload: dict[str, Any], trace: dict[str, Any], measured: Performance, start: datetime
) -> TracedRequest:
    request, tags = _mapping(payload.get("request")), _mapping(payload.get("tags"))
    response = _mapping(_mapping(payload.get("contexts")).get("response"))
    data = _mapping(trace.get("data"))
    status_code = (
        response.get("status_code")
        or data.get("http.response.status_code")
        or tags.get("http.status_code")
    )
    shown = {
        "http.request.method": request.get("method"),
        "url.full": str(request.get("url") or "").partition("?")[0] or None,
        "sentry.op": trace.get("op"),
    }
    return TracedRequest(
        name=str(payload.get("transaction") or "(unnamed)"),
        started_at=start,
        duration_ms=measured.duration_ms,
        is_ok=measured.ok,
        trace_id=str(trace.get("trace_id") or ""),
        span_id=str(trace.get("span_id") or ""),
        status_code=_code(status_code),
        environment=str(payload.get("environment") or ""),
        release=str(payload.get("release") or ""),
        attributes={**tags, **shown},
    )


def _hand_over(item: ReceivedItem, requests: Sequence[TracedRequest]) -> None:
    """Pass those requests that belong to a trace to every function registered with `@traced_request`."""
    traced = [one for one in requests if one.trace_id]
    if traced:
        for function in traced_requests:
            function(item.project, traced, item.now)


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _code(given: Any) -> str:
    """Return the status code of a response, or "" if the value is not a status code."""
    text = str(given)
    return text if text.isascii() and text.isdecimal() and len(text) == 3 else ""


@item_type("span", limit=4 * 1024 * 1024, is_container=True)
def spans(item: ReceivedItem) -> None:
    """Record the segment spans among the first 1,000 spans, and count the other spans among them as discarded.

    Version 11 of the JavaScript SDKs sends spans instead of transactions.
    """
    listed = _object(item.payload).get("items")
    listed = listed[:1_000] if isinstance(listed, list) else []
    segments = [(one, measurement) for one in listed if (measurement := _segment(one))]
    found = [measurement for _, measurement in segments]
    measured.add(item.project.app, found)
    _hand_over(item, [_request_of_segment(*segment) for segment in segments])
    if others := len(listed) - len(found):
        source = Discarded.Source.PORTAL
        discarded.count(item.project.app_id, source, "span", "unsupported", others)


def _segment(span: Any) -> Performance | None:
    """Return the measurement of a segment span (a request, a page, a task), or None for any other span."""
    if not isinstance(span, dict) or span.get("is_segment") is not True:
        return None
    start, end = timestamps.parse(span.get("start_timestamp")), timestamps.parse(span.get("end_timestamp"))  # fmt: skip
    if start is None or end is None:
        return None
    code = _attribute(span, "http.response.status_code")
    # SDKs report 4xx responses with the status `error`, but these requests count as successful.
    is_client_error = isinstance(code, int) and code < 500
    return _performance(
        span.get("name"),
        start,
        end,
        operation=_attribute(span, "sentry.op"),
        ok=span.get("status") != "error" or is_client_error,
        sample_rate=_attribute(span, "sentry.sample_rate"),
        environment=_attribute(span, "sentry.environment"),
    )


def _request_of_segment(span: dict[str, Any], measured: Performance) -> TracedRequest:
    started_at = timestamps.parse(span.get("start_timestamp"))
    assert started_at is not None  # _segment() has already parsed the value.
    names = ("http.request.method", "http.route", "url.path", "sentry.op", "request_id")
    return TracedRequest(
        name=str(span.get("name") or "(unnamed)"),
        started_at=started_at,
        duration_ms=measured.duration_ms,
        is_ok=measured.ok,
        trace_id=str(span.get("trace_id") or ""),
        span_id=str(span.get("span_id") or ""),
        status_code=_code(_attribute(span, "http.response.status_code")),
        environment=str(_attribute(span, "sentry.environment") or ""),
        release=str(_attribute(span, "sentry.release") or ""),
        attributes={name: _attribute(span, name) for name in names},
    )


def _attribute(span: dict[str, Any], name: str) -> Any:
    attributes = span.get("attributes")
    found = attributes.get(name) if isinstance(attributes, dict) else None
    return found.get("value") if isinstance(found, dict) else None


def _performance(
    name: Any,
    start: datetime,
    end: datetime,
    *,
    operation: Any,
    ok: bool,
    sample_rate: Any,
    environment: Any,
) -> Performance:
    operation = str(operation or "")
    kind = "page" if operation in _PAGES else "request" if operation.startswith("http") else "function"  # fmt: skip
    return Performance(
        name=scrub_text(str(name or "").strip())[:200] or "(unnamed)",
        duration_ms=min(max((end - start).total_seconds() * 1000, 0.0), _MAX_DURATION_MS),
        kind=kind,  # type: ignore[arg-type]
        ok=ok,
        environment=scrub_text(str(environment or "").strip())[:64],
        weight=_weight(sample_rate),
    )


def _sample_rate(header: Any, trace: dict[str, Any]) -> Any:
    """Return the sample rate of a transaction, or None if the SDK does not report it.

    SDKs send the rate in the trace header of the envelope, in the trace context, or in the data of the trace context.
    """
    data = trace.get("data")
    for source, name in (
        (header, "sample_rate"),
        (trace, "sample_rate"),
        (trace, "client_sample_rate"),
        (data, "sentry.sample_rate"),
    ):
        if isinstance(source, dict) and source.get(name) is not None:
            return source[name]
    return None


def _weight(sample_rate: Any) -> int:
    """Return the number of transactions that a sampled one represents: 10 at a sample rate of 0.1, 1 if unknown."""
    try:
        rate = float(1.0 if sample_rate is None else sample_rate)
    except (TypeError, ValueError):
        return 1
    return max(1, min(MAX_WEIGHT, round(1 / rate))) if 0 < rate <= 1 else 1


@item_type("session", limit=100 * 1024)
def session(item: ReceivedItem) -> None:
    payload = _object(item.payload)
    user = payload.get("did") or payload.get("sid")
    if not user:
        raise ValueError("the session has neither a user nor an id")
    measured.add(item.project.app, [Activity(str(user)[:200])])
    status, errors = payload.get("status"), payload.get("errors")
    is_crashed, is_abnormal = status == "crashed", status == "abnormal"
    has_errors = isinstance(errors, int) and errors > 0 and not is_crashed and not is_abnormal
    release, environment = _release_of(payload)
    session_counts.count(
        item.project.app,
        Sessions(
            release=release,
            environment=environment,
            started=int(payload.get("init") is True),
            errored=int(has_errors),
            crashed=int(is_crashed),
            abnormal=int(is_abnormal),
            user=str(payload.get("did") or "")[:200],
        ),
        now=item.now,
    )


def _release_of(payload: dict[str, Any]) -> tuple[str, str]:
    """Return the release and environment of sessions, scrubbed like those of events, or "" for missing ones."""
    attributes = payload.get("attrs")
    given = attributes if isinstance(attributes, dict) else {}
    release, environment = given.get("release"), given.get("environment")
    return (
        release_of(release)[:200] if isinstance(release, str) else "",
        scrub_text(environment)[:64] if isinstance(environment, str) else "",
    )


@item_type("sessions", limit=100 * 1024)
def sessions(item: ReceivedItem) -> None:
    """Record the first 1,000 aggregates of sessions from a server SDK: users as activity, outcomes as counters."""
    payload = _object(item.payload)
    sums = payload.get("aggregates")
    found: list[Activity | Counter] = []
    counts: dict[str, float] = {}
    for one in sums[:1_000] if isinstance(sums, list) else ():
        if not isinstance(one, dict):
            continue
        if one.get("did"):
            found.append(Activity(str(one["did"])[:200]))
        for outcome in ("exited", "errored", "crashed", "abnormal"):
            number = one.get(outcome)
            if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**9:
                counts[outcome] = counts.get(outcome, 0) + number
    found += [Counter(f"sessions.{outcome}", number) for outcome, number in counts.items()]
    measured.add(item.project.app, found)
    release, environment = _release_of(payload)
    session_counts.count(
        item.project.app,
        Sessions(
            release=release,
            environment=environment,
            started=int(sum(counts.values())),
            errored=int(counts.get("errored", 0)),
            crashed=int(counts.get("crashed", 0)),
            abnormal=int(counts.get("abnormal", 0)),
        ),
        now=item.now,
    )


@item_type("check_in", limit=100 * 1024)
def check_in(item: ReceivedItem) -> None:
    payload = _object(item.payload)
    handle_check_in(item, str(payload.get("monitor_slug") or ""), payload)


def handle_check_in(item: ReceivedItem, slug: str, payload: dict[str, Any]) -> None:
    """Record a check-in, or count it as discarded if the app has too many jobs.

    Raises ValueError for an unknown status or a missing slug.
    """
    if not slug:
        raise ValueError("the check-in has no monitor slug")
    config = payload.get("monitor_config")
    duration = payload.get("duration")
    given_id = event_id_of(payload.get("check_in_id"))
    try:
        record_check_in(
            app=item.project.app,
            slug=slug,
            status=str(payload.get("status") or ""),
            now=item.now,
            check_in_id=uuid.UUID(given_id) if given_id and given_id.strip("0") else None,
            duration=float(duration) if isinstance(duration, int | float) else None,
            environment=str(payload.get("environment") or ""),
            monitor_config=config,
        )
    except TooManyHeartbeats:
        discarded.count(item.project.app_id, Discarded.Source.PORTAL, "check_in", "too many jobs")
        return
    invalid = parse_config(config)[1] if config is not None else {}
    if invalid:
        reason = f"invalid {', '.join(invalid)}"
        discarded.count(item.project.app_id, Discarded.Source.INVALID, "monitor_config", reason)


@item_type("user_report", limit=100 * 1024)
def user_report(item: ReceivedItem) -> None:
    payload = _object(item.payload)
    _store_report(item, payload.get("event_id") or item.event_id, payload.get("comments"))


@item_type("feedback")
def feedback(item: ReceivedItem) -> None:
    payload = _object(item.payload)
    contexts = payload.get("contexts")
    given = contexts.get("feedback") if isinstance(contexts, dict) else None
    given = given if isinstance(given, dict) else {}
    _store_report(item, given.get("associated_event_id"), given.get("message"), given.get("url"))


def _store_report(item: ReceivedItem, event_id: Any, message: Any, url: Any = "") -> None:
    """Store a user's report without the user's name and e-mail address. Raises ValueError if it has no text."""
    text = scrub_text(str(message or "").strip())[:10_000]
    if not text:
        raise ValueError("the report has no text")
    about = event_id_of(event_id)
    UserReport.objects.create(
        app=item.project.app,
        event_id=uuid.UUID(about) if about else None,
        message=text,
        received_at=item.now,
        url=scrub_text(str(url or ""))[:500],
    )


@item_type("client_report", limit=100 * 1024)
def client_report(item: ReceivedItem) -> None:
    """Count the items that the SDK itself dropped, by category and reason. Only the first 200 entries are read."""
    payload = _object(item.payload)
    for kind in ("discarded_events", "rate_limited_events", "filtered_events"):
        listed = payload.get(kind)
        for one in listed[:200] if isinstance(listed, list) else ():
            number = one.get("quantity") if isinstance(one, dict) else None
            if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**9:
                discarded.count(
                    item.project.app_id,
                    Discarded.Source.CLIENT,
                    str(one.get("category") or "default"),
                    str(one.get("reason") or ""),
                    number,
                )


def _object(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise TypeError("not a JSON object")
    return payload
