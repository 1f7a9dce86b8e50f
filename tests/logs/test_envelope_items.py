"""Test that `log` items of Sentry envelopes are scrubbed, limited, and stored before the response."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.ingest.responses import UNSUPPORTED
from errors.models import Discarded, ErrorEvent
from errors.services import discarded
from logs.models import Level, LogEntry
from logs.records import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES, MAX_BODY_LENGTH
from tests.errors.support import Sender, envelope, raised

pytestmark = pytest.mark.django_db

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTAINER = {"type": "log", "content_type": "application/vnd.sentry.items.log+json"}


def typed(value: Any) -> dict[str, Any]:
    names = {bool: "boolean", int: "integer", float: "double", str: "string"}
    return {"value": value, "type": names.get(type(value), "array")}


def log(body: Any = "seat A-12 held", *, level: Any = "info", **more: Any) -> dict[str, Any]:
    attributes = {name: typed(value) for name, value in more.pop("attributes", {}).items()}
    now = timezone.now().timestamp()
    return {"timestamp": now, "level": level, "body": body, "attributes": attributes, **more}


def container(*items: Any, **header: Any) -> bytes:
    payload = json.dumps({"version": 2, "items": list(items)})
    head = {**CONTAINER, "item_count": len(items), **header}
    return f"{{}}\n{json.dumps(head)}\n{payload}\n".encode()


def dropped() -> dict[tuple[str, str, str], int]:
    discarded.discarded_items.flush()
    rows = Discarded.objects.values_list("source", "category", "reason", "count")
    return {(source, category, reason): count for source, category, reason, count in rows}


def test_a_log_is_stored_with_its_columns_and_attributes(sender: Sender) -> None:
    answer = sender.post(
        container(
            log(
                level="warn",
                trace_id=TRACE,
                span_id="b7ad6b7169203331",
                attributes={
                    "sentry.release": "shop@2.1.0",
                    "sentry.environment": "production",
                    "order_id": "o-77",
                    "seats": 2,
                    "express": True,
                    "request_id": "r-1",
                },
            )
        )
    )

    assert answer.status_code == 200
    entry = LogEntry.objects.get()
    assert (entry.app_id, entry.level, entry.body) == (sender.app.pk, Level.WARN, "seat A-12 held")
    assert (entry.release, entry.environment) == ("shop@2.1.0", "production")
    assert (entry.trace_id, entry.span_id) == (TRACE, "b7ad6b7169203331")
    assert entry.request_id == "r-1"
    assert entry.attributes == {
        "order_id": "o-77",
        "seats": 2,
        "express": True,
        "request_id": "r-1",
    }
    assert abs(entry.at - timezone.now()) < timedelta(minutes=1)


def test_logs_and_an_event_of_one_envelope_are_both_stored(sender: Sender) -> None:
    lines = container(log(), log("paid")).split(b"\n", 1)[1]

    answer = sender.post(envelope(raised()) + lines)

    assert answer.status_code == 200
    assert ErrorEvent.objects.count() == 1
    assert LogEntry.objects.count() == 2


def test_the_order_of_records_in_a_container_is_kept(sender: Sender) -> None:
    at = timezone.now().timestamp()

    sender.post(container(*(log(f"step {number}", timestamp=at) for number in range(20))))

    bodies = list(LogEntry.objects.order_by("pk").values_list("body", flat=True))
    assert bodies == [f"step {number}" for number in range(20)]


@pytest.mark.parametrize(
    ("given", "number", "stored"),
    [
        ("trace", None, Level.TRACE),
        ("warning", None, Level.WARN),
        ("critical", None, Level.FATAL),
        ("ERROR", None, Level.ERROR),
        (None, 9, Level.INFO),
        ("NOTICE2", 14, Level.WARN),
        ("", 24, Level.FATAL),
        ("odd", 99, Level.INFO),
        (["odd"], True, Level.INFO),
    ],
)
def test_the_level_comes_from_its_name_or_else_its_number(
    sender: Sender, given: Any, number: Any, stored: Level
) -> None:
    sender.post(container(log(level=given, severity_number=number)))

    assert LogEntry.objects.get().level == stored


def test_personal_data_and_secrets_are_removed_before_anything_is_stored(sender: Sender) -> None:
    sender.app.scrub_keys = ["iban"]
    sender.app.save()
    attributes = {
        "password": "planted-secret",
        "buyer": "planted.person@shop.example",
        "iban": "planted-iban",
        "sentry.message.parameter.0": "planted.person@shop.example",
        "card": 4242424242424242,
        "headers": ["Bearer planted1234567890123456789"],
    }

    sender.post(
        container(
            log(
                "sent to planted.person@shop.example, password=planted-secret",
                attributes=attributes,
            )
        )
    )

    entry = LogEntry.objects.get()
    assert entry.body == "sent to [Filtered], password=[Filtered]"
    assert "planted" not in json.dumps(entry.attributes)
    assert "4242" not in json.dumps(entry.attributes)
    assert set(entry.attributes) == set(attributes)


def test_records_without_a_text_are_counted_with_the_reason(sender: Sender) -> None:
    answer = sender.post(container(log(""), log(None), log(7), "text", None, log("kept")))

    assert answer.status_code == 200
    assert [entry.body for entry in LogEntry.objects.all()] == ["kept"]
    assert dropped() == {
        ("invalid", "log", "no text"): 3,
        ("invalid", "log", "not an object"): 2,
    }


@pytest.mark.parametrize("payload", [b"{}", b'{"items":7}', b"[]", b"{broken", b"null"])
def test_an_unreadable_container_is_counted_and_the_envelope_succeeds(
    sender: Sender, payload: bytes
) -> None:
    answer = sender.post(b"{}\n" + json.dumps(CONTAINER).encode() + b"\n" + payload + b"\n")

    assert answer.status_code == 200
    assert not LogEntry.objects.exists()
    assert dropped() == {("invalid", "log", "unreadable"): 1}


def test_an_implausible_time_is_replaced_by_the_time_of_receipt(sender: Sender) -> None:
    now = timezone.now().timestamp()
    times = [now - 10 * 86_400, now + 3_600, "never", None, 1e300, -1, [now]]

    sender.post(container(*(log(timestamp=time) for time in times)))

    entries = list(LogEntry.objects.all())
    assert len(entries) == len(times)
    assert all(abs(entry.at - timezone.now()) < timedelta(minutes=1) for entry in entries)


def test_the_size_of_huge_and_odd_records_is_limited(sender: Sender) -> None:
    nested: Any = "deep"
    for _ in range(30):
        nested = {"in": nested}
    huge = {f"name {number}": "x" * 5_000 for number in range(150)}
    odd = {"nul": "a\0b", "big": 10**30, "far": 1e308, "nested": nested, "n" * 900: 1}

    answer = sender.post(
        container(
            log("y" * 100_000, attributes=huge),
            log("\ud800 odd \0", attributes=odd, trace_id="x" * 999, span_id=7),
            log("untyped", attributes={}) | {"attributes": {"a": 1, "b": None}},
        )
    )

    assert answer.status_code == 200
    first, second, third = LogEntry.objects.order_by("pk")
    assert len(first.body) == MAX_BODY_LENGTH
    assert len(first.attributes) == MAX_ATTRIBUTES
    assert len(json.dumps(first.attributes)) < MAX_ATTRIBUTES_BYTES + 10_000
    assert second.attributes["nul"] == "ab"
    assert "\0" not in second.body
    assert second.trace_id == ""
    assert "[too large]" in json.dumps(second.attributes["nested"])
    assert third.attributes == {"a": 1}


def test_a_container_over_the_quota_is_counted_and_not_stored(
    sender: Sender, settings: Settings
) -> None:
    settings.LOGS_PER_MINUTE = 3

    answers = [sender.post(container(log(), log())) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert LogEntry.objects.count() == 2
    assert dropped() == {("quota", "log", "logs per minute"): 2}


@pytest.mark.parametrize(("own_limit", "count"), [(0, 0), (1, 0), (2, 2)])
def test_an_app_may_have_a_quota_of_its_own(sender: Sender, own_limit: int, count: int) -> None:
    ClientApp.objects.update(logs_per_minute=own_limit)

    sender.post(container(log(), log()))

    assert LogEntry.objects.count() == count


def test_records_beyond_a_thousand_in_one_container_are_dropped(sender: Sender) -> None:
    sender.post(container(*(log(f"{number}", attributes={}) for number in range(1_002))))

    assert LogEntry.objects.count() == 1_000
    assert dropped() == {("invalid", "log", "more than 1,000 at once"): 2}


def test_a_log_item_outside_a_container_is_unsupported(sender: Sender) -> None:
    sender.post(b'{}\n{"type":"log"}\n{"body":"x"}\n')

    assert dropped() == {("portal", "log", "unsupported"): 1}


def test_logs_are_not_among_the_unsupported_items_reported_to_sdks() -> None:
    assert "log" not in UNSUPPORTED[1]
