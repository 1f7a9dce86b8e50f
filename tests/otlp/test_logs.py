"""Test that log records become log entries, and that those with an exception also become errors."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.event.filters import Filter
from errors.models import Discarded, ErrorEvent
from errors.services import discarded
from errors.services.filters import switch_on
from logs.models import Level, LogEntry
from tests.otlp.exporting import (
    PYTHON_STACK,
    SPAN,
    TRACE,
    Exporter,
    exception,
    logs,
    record,
    span,
    spans,
    status_of,
    to_protobuf,
)

pytestmark = pytest.mark.django_db

CAUGHT = {
    "exception.type": "shop.errors.CardDeclined",
    "exception.message": "card of order o-77 was declined",
    "exception.stacktrace": PYTHON_STACK,
}


@pytest.mark.parametrize("way", ["json", "protobuf"])
def test_a_log_record_is_stored(exporter: Exporter, way: str) -> None:
    answer = getattr(exporter, way)("logs", logs(record()))

    assert answer == {}
    entry = LogEntry.objects.get()
    assert (entry.level, entry.body) == (Level.WARN, "card declined")
    assert (entry.trace_id, entry.span_id) == (TRACE, SPAN)
    assert (entry.environment, entry.release) == ("production", "checkout@2.1.0")
    assert entry.attributes == {
        "service.name": "checkout",
        "order_id": "o-77",
        "logger": "shop.pay",
    }
    assert timezone.now() - entry.at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [
        (1, "", Level.TRACE),
        (5, "", Level.DEBUG),
        (9, "", Level.INFO),
        (17, "WARNING", Level.ERROR),
        (24, "", Level.FATAL),
        (0, "warning", Level.WARN),
        (0, "", Level.INFO),
    ],
)
def test_the_severity_number_takes_precedence_over_the_text(
    exporter: Exporter, number: int, text: str, level: Level
) -> None:
    exporter.json("logs", logs(record(severityNumber=number, severityText=text)))

    assert LogEntry.objects.get().level == level


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ({"step": "pay", "password": "hunter2secret"}, '{"step":"pay","password":[Filtered]}'),
        (["a", 1, True], '["a",1,true]'),
        (7, "7"),
    ],
)
def test_a_body_with_members_is_stored_as_json(exporter: Exporter, body: Any, stored: str) -> None:
    exporter.json("logs", logs(record(body)))

    assert LogEntry.objects.get().body.replace('"[Filtered]"', "[Filtered]") == stored


def test_a_logged_exception_becomes_an_error_once(exporter: Exporter) -> None:
    exporter.json("traces", spans(span(events=[exception()])))

    exporter.json("logs", logs(record("payment failed", severityNumber=17, attributes=CAUGHT)))

    assert ErrorEvent.objects.count() == 1
    entry = LogEntry.objects.get(body="payment failed")
    assert entry.attributes["exception.type"] == "shop.errors.CardDeclined"
    assert "exception.stacktrace" not in entry.attributes


def test_a_logged_exception_without_a_span_becomes_an_error(exporter: Exporter) -> None:
    failed = record("payment failed", severityNumber=21, attributes=CAUGHT, traceId="")
    warned = record("tried again", severityNumber=13, attributes=CAUGHT, traceId="")

    exporter.json("logs", logs(failed, warned))

    event = ErrorEvent.objects.get()
    assert (event.severity, event.environment) == ("critical", "production")


def test_a_record_whose_exception_becomes_no_error_keeps_its_stack_trace(
    exporter: Exporter,
) -> None:
    exporter.json("logs", logs(record("tried again", severityNumber=13, attributes=CAUGHT)))

    assert not ErrorEvent.objects.exists()
    stack_trace = LogEntry.objects.get().attributes["exception.stacktrace"]
    assert stack_trace.startswith("Traceback (most recent call last):")


@pytest.mark.parametrize("reason", ["quota", "filter", "too many"])
def test_a_record_whose_error_is_not_stored_keeps_its_stack_trace(
    exporter: Exporter, shop: ClientApp, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    match reason:
        case "quota":
            ClientApp.objects.update(events_per_hour=1)
        case "filter":
            switch_on(app=shop, kind=Filter.MESSAGES, patterns=["*declined*"])
        case "too many":
            monkeypatch.setattr("otlp.services.MAX_EXCEPTIONS", 1)
    stored = {"exception.type": "KeyError", "exception.stacktrace": PYTHON_STACK}
    records = [
        record("stored", severityNumber=17, attributes=stored),
        record("dropped", severityNumber=17, attributes=CAUGHT),
    ]

    exporter.json("logs", logs(*records))

    with_stack_trace = {
        entry.body for entry in LogEntry.objects.all() if "exception.stacktrace" in entry.attributes
    }
    assert with_stack_trace == ({"stored", "dropped"} if reason == "quota" else {"dropped"})
    assert ErrorEvent.objects.count() == (0 if reason == "quota" else 1)


def test_rejected_errors_and_records_are_added_up(
    exporter: Exporter, shop: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otlp.log_records.MAX_RECORDS", 2)
    ClientApp.objects.update(events_per_hour=1)
    failed = record("payment failed", severityNumber=17, attributes=CAUGHT)
    other = record("seat taken", severityNumber=17, attributes={"exception.type": "KeyError"})

    answer = exporter.json("logs", logs(record(""), failed, other, record()))

    assert answer["partialSuccess"]["rejectedLogRecords"] == "4"
    for reason in ("quota", "without a body", "too many"):
        assert reason in answer["partialSuccess"]["errorMessage"]


def test_records_without_a_text_are_rejected_and_counted(exporter: Exporter) -> None:
    empty = record("")
    nothing = {"severityNumber": 9}
    named = record("", eventName="order.paid")

    answer = exporter.protobuf("logs", logs(empty, nothing, named, record()))

    assert answer["partialSuccess"]["rejectedLogRecords"] == "2"
    assert {entry.body for entry in LogEntry.objects.all()} == {"order.paid", "card declined"}
    discarded.discarded_items.flush()
    row = Discarded.objects.get()
    assert (row.source, row.category, row.reason, row.count) == ("invalid", "log", "no text", 2)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-protobuf"])
def test_an_exporter_over_the_quota_is_asked_to_wait(
    exporter: Exporter, settings: Settings, content_type: str
) -> None:
    settings.LOGS_PER_MINUTE = 1
    body = (
        to_protobuf("logs", logs(record(), record()))
        if "protobuf" in content_type
        else json.dumps(logs(record(), record())).encode()
    )

    answer = exporter.post("logs", body, content_type)

    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert answer["Content-Type"] == content_type
    assert (status_of(answer).code, "quota" in status_of(answer).message) == (8, True)
    assert not LogEntry.objects.exists()
