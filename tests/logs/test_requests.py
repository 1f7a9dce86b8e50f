"""Test that requests measured by Sentry SDKs are listed with the logs and errors of their trace."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from errors.models import Discarded
from errors.services import discarded, measured
from logs.hooks.traced_requests import requests_waiting
from logs.models import Kind, Level, LogEntry
from tests.errors.support import Sender, envelope, raised

pytestmark = pytest.mark.django_db

TRACE = "0af7651916cd43dd8448eb211c80319c"


def with_items(*items: tuple[dict[str, Any], dict[str, Any]]) -> bytes:
    lines = [json.dumps(part) for item in items for part in item]
    return "\n".join(["{}", *lines, ""]).encode()


def transaction(*, trace: dict[str, Any] | None = None, **more: Any) -> bytes:
    now = timezone.now().timestamp()
    context = {
        "trace_id": TRACE,
        "span_id": "b7ad6b7169203331",
        "op": "http.server",
        "status": "ok",
    }
    payload = {
        "type": "transaction",
        "transaction": "/checkout",
        "start_timestamp": now - 0.25,
        "timestamp": now,
        "release": "shop@2.1.0",
        "environment": "production",
        "request": {"method": "POST", "url": "https://shop.example/checkout?card=4242424242424242"},
        "contexts": {"trace": context | (trace or {}), "response": {"status_code": 402}},
        "tags": {"request_id": "r-1"},
        **more,
    }
    return with_items(({"type": "transaction"}, payload))


def test_a_transaction_is_listed_as_a_request_of_its_trace(sender: Sender) -> None:
    answer = sender.post(transaction())

    assert answer.status_code == 200
    entry = LogEntry.objects.get()
    assert (entry.kind, entry.level, entry.app_id) == (Kind.REQUEST, Level.INFO, sender.app.pk)
    assert entry.body == "/checkout 402 250.0 ms"
    assert (entry.trace_id, entry.span_id) == (TRACE, "b7ad6b7169203331")
    assert (entry.request_id, entry.release) == ("r-1", "shop@2.1.0")
    assert entry.environment == "production"
    assert entry.attributes == {
        "http.request.method": "POST",
        "url.full": "https://shop.example/checkout",
        "sentry.op": "http.server",
        "request_id": "r-1",
        "duration_ms": 250.0,
    }


def test_a_failed_transaction_has_the_level_error(sender: Sender) -> None:
    sender.post(transaction(trace={"status": "internal_error"}))

    assert LogEntry.objects.get().level == Level.ERROR


def test_a_transaction_without_a_trace_is_only_measured(sender: Sender) -> None:
    sender.post(transaction(trace={"trace_id": None}))

    assert not LogEntry.objects.exists()


def test_a_segment_span_is_listed_and_other_spans_are_not(sender: Sender) -> None:
    now = timezone.now().timestamp()
    span = {
        "trace_id": TRACE,
        "span_id": "b7ad6b7169203331",
        "name": "GET /seats",
        "status": "ok",
        "is_segment": True,
        "start_timestamp": now - 0.1,
        "end_timestamp": now,
        "attributes": {
            "sentry.op": {"value": "http.server", "type": "string"},
            "sentry.release": {"value": "shop@2.1.0", "type": "string"},
            "http.response.status_code": {"value": 200, "type": "integer"},
        },
    }
    child = {**span, "is_segment": False, "name": "SELECT"}
    head = {
        "type": "span",
        "content_type": "application/vnd.sentry.items.span.v2+json",
        "item_count": 2,
    }

    sender.post(with_items((head, {"items": [span, child]})))

    entry = LogEntry.objects.get()
    assert (entry.body, entry.trace_id) == ("GET /seats 200 100.0 ms", TRACE)
    assert entry.release == "shop@2.1.0"


def test_the_content_of_a_request_is_scrubbed(sender: Sender) -> None:
    sender.post(transaction(transaction="/users/ada@example.com", tags={"password": "hunter2"}))

    entry = LogEntry.objects.get()
    assert "ada@example.com" not in entry.body
    assert "hunter2" not in json.dumps(entry.attributes)
    assert "4242" not in json.dumps(entry.attributes)


@pytest.mark.parametrize(
    "odd",
    [
        {"tags": [["a", "b"]], "request": "GET /", "contexts": {"trace": {"trace_id": 5}}},
        {"tags": None, "request": None, "release": {"a": 1}},
        {"contexts": {"trace": {"trace_id": TRACE, "data": []}, "response": {"status_code": "☃"}}},
    ],
)
def test_odd_fields_of_a_transaction_cause_no_failure(sender: Sender, odd: dict[str, Any]) -> None:
    answer = sender.post(transaction(**odd))

    assert answer.status_code == 200
    discarded.discarded_items.flush()
    assert not Discarded.objects.exists()


def test_requests_over_the_quota_for_logs_are_counted_as_discarded(sender: Sender) -> None:
    sender.app.logs_per_minute = 0
    sender.app.save()

    answer = sender.post(transaction())

    assert answer.status_code == 200
    assert not LogEntry.objects.exists()
    discarded.discarded_items.flush()
    assert Discarded.objects.get().reason == "logs per minute"


@pytest.mark.django_db(transaction=True)
def test_requests_are_written_together_a_second_later(sender: Sender) -> None:
    requests_waiting.clear()  # Remove requests that other tests have left in the buffer.
    sender.post(transaction())
    sender.post(transaction())
    assert not LogEntry.objects.exists()

    requests_waiting.flush()
    measured.measurements_waiting.flush()

    assert LogEntry.objects.count() == 2


def test_a_trace_connects_the_error_the_logs_and_the_request_of_an_sdk(
    sender: Sender, browse: Client
) -> None:
    error = raised() | {"contexts": {"trace": {"trace_id": TRACE, "span_id": "b7ad6b7169203331"}}}
    sender.post(envelope(error))
    sender.post(transaction())

    page = browse.get(f"/admin/logs/?q=trace:{TRACE}").content.decode()

    assert "/checkout 402 250.0 ms" in page
    assert "Errors of this trace" in page
