"""Test that exceptions in spans become errors, requests become measurements, and a trace connects both."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.models import Discarded, ErrorEvent, ErrorGroup
from errors.services import discarded
from errors.store.payloads import payload_of
from health.models import Latency, Series, SeriesKind
from logs.models import Kind, Level, LogEntry
from tests.errors.support import Sender, raised
from tests.otlp.exporting import SPAN, TRACE, Exporter, exception, logs, record, span, spans

pytestmark = pytest.mark.django_db

Send = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(params=["json", "protobuf"])
def send(exporter: Exporter, request: pytest.FixtureRequest) -> Send:
    return getattr(exporter, request.param)  # type: ignore[no-any-return]


def test_an_exception_of_a_span_becomes_an_error(send: Send) -> None:
    answer = send("traces", spans(span(events=[exception()])))

    assert answer == {}
    event = ErrorEvent.objects.select_related("group").get()
    assert event.group.title == "CardDeclined: card of order o-77 was declined"
    assert event.group.culprit
    assert (event.environment, event.release) == ("production", "checkout@2.1.0")
    assert event.function == "POST /pay/{id}"
    payload = payload_of(event)
    [raised_here] = payload["exception"]["values"]
    library, own = raised_here["stacktrace"]["frames"]
    assert (library["in_app"], own["in_app"]) == (False, True)
    assert (own["filename"], own["function"], own["lineno"]) == ("/app/shop/pay.py", "charge", 12)
    assert own["context_line"] == 'raise CardDeclined("card of order o-77 was declined")'
    assert payload["contexts"]["trace"]["trace_id"] == TRACE
    assert payload["platform"] == "python"


def test_an_error_has_the_request_the_user_and_the_attributes_of_its_span(send: Send) -> None:
    attributes = {
        "http.request.method": "POST",
        "url.full": "https://shop.example/pay/o-77",
        "enduser.id": "u-9",
        "cart.items": 3,
    }

    send("traces", spans(span(events=[exception()], attributes=attributes)))

    event = ErrorEvent.objects.get()
    payload = payload_of(event)
    assert event.user_key == "u-9"
    assert payload["request"]["url"] == "https://shop.example/pay/o-77"
    assert payload["request"]["method"] == "POST"
    assert payload["extra"]["cart.items"] == 3


def test_a_server_span_becomes_a_measured_request(send: Send) -> None:
    failed = span("GET /seats", status={"code": 2}, spanId="1" * 16)
    inner = span("SELECT", kind=3, spanId="2" * 16)

    send("traces", spans(span(), failed, inner))

    series = dict(Series.objects.filter(app__isnull=False).values_list("name", "kind"))
    assert series == {"POST /pay/{id}": SeriesKind.REQUEST, "GET /seats": SeriesKind.REQUEST}
    ok, bad = (
        Latency.objects.filter(series__name=name, series__app__isnull=False).first()
        for name in ("POST /pay/{id}", "GET /seats")
    )
    assert ok is not None
    assert bad is not None
    assert (ok.count, ok.failed, round(ok.total_ms)) == (1, 0, 250)
    assert bad.failed == 1
    assert Series.objects.get(name="GET /seats").environment == "production"


def test_a_consumed_message_is_measured_as_a_function(exporter: Exporter) -> None:
    exporter.json("traces", spans(span("mails process", kind=5)))

    assert Series.objects.get(name="mails process").kind == SeriesKind.FUNCTION


def test_a_request_is_listed_among_the_logs_of_its_trace(send: Send) -> None:
    send("traces", spans(span(status={"code": 2})))

    entry = LogEntry.objects.get()
    assert (entry.kind, entry.level, entry.trace_id) == (Kind.REQUEST, Level.ERROR, TRACE)
    assert entry.body == "POST /pay/{id} 200 250.0 ms"
    assert entry.attributes["service.name"] == "checkout"
    assert entry.attributes["duration_ms"] == 250.0
    assert "process.command_args" not in entry.attributes


def test_a_trace_connects_the_error_the_log_entry_and_the_request(
    exporter: Exporter, client: Client, send: Send
) -> None:
    client.force_login(User.objects.create_superuser("owner"))
    send("traces", spans(span(events=[exception()])))
    send("logs", logs(record("asking the bank")))
    event = ErrorEvent.objects.get()

    page = client.get(f"/admin/errors/{event.group_id}/events/{event.pk}/").content.decode()
    trace = client.get("/admin/logs/", {"q": f"trace:{TRACE}"})

    for shown in ("Logs of this trace", "asking the bank", "POST /pay/{id} 200 250.0 ms"):
        assert shown in page
    assert [one["event"].pk for one in trace.context["errors"]] == [event.pk]
    assert len(trace.context["rows"]) == 2


def test_the_same_exception_in_several_spans_of_a_trace_is_one_event(exporter: Exporter) -> None:
    child = span("charge", kind=1, spanId="1" * 16, parentSpanId=SPAN, events=[exception()])
    message = spans(child, span(events=[exception()]))

    exporter.json("traces", message)
    # Exporters repeat requests that were not answered in time, so a repetition must not store the error twice.
    exporter.json("traces", message)
    exporter.json("traces", spans(span(traceId="1" * 32, events=[exception()])))

    assert ErrorEvent.objects.count() == 2
    assert ErrorGroup.objects.get().event_count == 2


def test_an_error_is_grouped_with_the_same_error_from_the_sentry_sdk(
    exporter: Exporter, shop: ClientApp
) -> None:
    frames = [
        {
            "filename": "flask/app.py",
            "module": "flask.app",
            "function": "wsgi_app",
            "in_app": False,
        },
        {
            "filename": "pay.py",
            "abs_path": "/app/shop/pay.py",
            "function": "charge",
            "in_app": True,
            "lineno": 3,
            "context_line": '    raise CardDeclined("card of order o-77 was declined")',
        },
    ]
    of_sdk = raised()
    of_sdk["exception"]["values"] = [
        {"type": "CardDeclined", "value": "o-1", "stacktrace": {"frames": frames}}
    ]

    Sender(shop).send(of_sdk)
    exporter.json("traces", spans(span(events=[exception()])))

    assert ErrorGroup.objects.count() == 1


@pytest.mark.parametrize(("escaped", "handled"), [(True, False), ("False", True), (None, None)])
def test_an_exception_that_left_its_span_is_unhandled(
    exporter: Exporter, escaped: Any, handled: bool | None
) -> None:
    more = {} if escaped is None else {"exception.escaped": escaped}

    exporter.json("traces", spans(span(events=[exception(**more)])))

    payload = payload_of(ErrorEvent.objects.get())
    assert payload["exception"]["values"][0]["mechanism"].get("handled") is handled


def test_personal_data_is_removed(exporter: Exporter) -> None:
    planted = "planted.person@shop.example"
    stack = f"Traceback (most recent call last):\nValueError: {planted}"
    named = {"http.route": "/pay", "buyer": planted, "password": "planted", "user.id": planted}

    exporter.json(
        "traces",
        spans(span(planted, attributes=named, events=[exception(message=planted, stack=stack)])),
    )

    event = ErrorEvent.objects.get()
    shown = [payload_of(event), event.message, event.user_key, event.group.title, event.function]
    assert "planted" not in json.dumps(shown)
    assert not Series.objects.filter(name__contains="planted").exists()
    assert "planted" not in LogEntry.objects.get().body


def test_exceptions_over_the_quota_are_rejected_and_the_rest_is_stored(
    exporter: Exporter, shop: ClientApp
) -> None:
    ClientApp.objects.update(events_per_hour=1)
    first = span(events=[exception(message="one")])
    second = span(spanId="1" * 16, events=[exception(message="two")])

    answer = exporter.json("traces", spans(first, second))

    assert answer["partialSuccess"]["rejectedSpans"] == "2"
    assert "quota" in answer["partialSuccess"]["errorMessage"]
    assert not ErrorEvent.objects.exists()
    assert Series.objects.filter(name="POST /pay/{id}").exists()
    discarded.discarded_items.flush()
    assert Discarded.objects.get().reason == "hour"


def test_requests_over_the_quota_for_logs_are_dropped_and_counted(
    exporter: Exporter, settings: Settings
) -> None:
    settings.LOGS_PER_MINUTE = 0

    assert exporter.json("traces", spans(span())) == {}
    assert not LogEntry.objects.exists()
    assert Series.objects.filter(name="POST /pay/{id}").exists()


def test_odd_spans_cause_no_failure(send: Send) -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    odd = [
        {},
        {"kind": 2},
        span(endTimeUnixNano="1", startTimeUnixNano=str(2**64 - 1)),
        span(traceId="", spanId="", attributes={"deep": deep[0][0], "huge": "y" * 300_000}),
        span("n" * 5_000, events=[{"name": "exception"}, {"name": "retry"}]),
        span(
            "nul\0",
            events=[
                exception("", "", ""),
                exception("\0", "\0", "\ud800".encode("utf-8", "replace").decode()),
            ],
        ),
        span(events=[exception(kind="t" * 3_000, message="m" * 100_000, stack="s" * 300_000)]),
    ]

    answer = send("traces", spans(*odd, resource={"service.name": "nul\0", "nul\0": "nul\0"}))

    assert answer == {}
    assert ErrorEvent.objects.count() == 1
