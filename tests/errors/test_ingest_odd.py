"""Test that the Sentry endpoints store odd input with a note or refuse it, and never respond with a 5xx."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from errors.models import ErrorEvent
from errors.store.payloads import json_of, payload_of
from tests.errors.support import Sender, raised

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "payload",
    [
        b'{"message":"x","extra":{"a":NaN,"b":Infinity,"c":-Infinity}}',
        b'{"message":"nul \\u0000 byte","tags":{"a\\u0000":"b\\u0000"}}',
        b'{"message":"lone \\ud800 surrogate","extra":{"\\udfff":"\\udead"}}',
        b'{"message":"raw \xff\xfe bytes"}',
        b'{"message":"big","extra":{"n":' + b"9" * 5000 + b"}}",
        b'{"message":"exp","extra":{"n":1e999}}',
        b'{"message":"x","timestamp":1e300,"level":1e300}',
        b'{"message":"deep","extra":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    ],
)
def test_an_event_with_odd_values_is_normalized_and_stored(sender: Sender, payload: bytes) -> None:
    answer = sender.post(b'{}\n{"type":"event"}\n' + payload)

    assert answer.status_code == 200, answer.content
    assert b"\\u0000" not in json_of(ErrorEvent.objects.get())
    json.loads(json_of(ErrorEvent.objects.get()), parse_constant=pytest.fail)


def test_json_with_ten_thousand_levels_is_stored_or_refused(sender: Sender) -> None:
    deep = b'{"message":"x","extra":' + b"[" * 10_000 + b"]" * 10_000 + b"}"

    assert sender.post(b'{}\n{"type":"event"}\n' + deep).status_code in (200, 400)


_FIELDS = [
    "event_id",
    "timestamp",
    "platform",
    "level",
    "logger",
    "transaction",
    "server_name",
    "release",
    "dist",
    "environment",
    "logentry",
    "message",
    "exception",
    "threads",
    "stacktrace",
    "breadcrumbs",
    "user",
    "request",
    "contexts",
    "tags",
    "extra",
    "modules",
    "sdk",
    "fingerprint",
    "culprit",
    "debug_meta",
    "errors",
    "csp",
    "type",
    "sentry.interfaces.Http",
]
_WRONG: list[Any] = [
    0, -1, 1.5, True, "", "x", [], [[]], [None], ["a", "b"], {}, {"values": 5}, {"values": [1, "a", None, []]},
    {"frames": None}, {"a": {"b": [{"c": 1}]}}, [{"stacktrace": {"frames": [1, None, {"lineno": "x", "vars": [1]}]}}],
    {"values": [{"stacktrace": {"frames": [{"filename": 5, "context_line": {}, "pre_context": 4}]}}]},
    {"headers": [["a"], 1, ["b", {}]], "query_string": 7, "cookies": 3, "env": []},
    {"message": {"a": 1}, "params": 5}, {"message": "%999999999999d %s", "params": [1]}, {"message": "%(a)s", "params": []},
]  # fmt: skip


@pytest.mark.parametrize("field", _FIELDS)
def test_a_wrong_type_in_any_field_never_loses_the_event(sender: Sender, field: str) -> None:
    for number, wrong in enumerate(_WRONG):
        event = {"message": f"kept {number}", **({"logentry": None} if field == "message" else {})}
        event[field] = wrong

        answer = sender.send(event, header={"event_id": uuid.uuid4().hex})

        assert answer.status_code == 200, (field, wrong, answer.content)
    assert ErrorEvent.objects.count() == len(_WRONG)


def test_the_clock_drift_of_a_client_is_corrected(sender: Sender) -> None:
    off = timezone.now() - timedelta(hours=5)

    sender.send(raised(timestamp=off.timestamp() - 60), header={"sent_at": off.isoformat()})

    assert abs(
        ErrorEvent.objects.get().occurred_at - (timezone.now() - timedelta(minutes=1))
    ) < timedelta(seconds=20)


@pytest.mark.parametrize("days", [-31, 1, 4000])
def test_an_implausible_time_is_replaced_and_noted(sender: Sender, days: int) -> None:
    moment = timezone.now() + timedelta(days=days)

    sender.send(raised(timestamp=moment.isoformat()))

    event = ErrorEvent.objects.get()
    assert abs(event.occurred_at - timezone.now()) < timedelta(seconds=20)
    assert {"type": "implausible", "name": "timestamp"} in payload_of(event)["errors"]
