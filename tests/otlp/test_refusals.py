"""Test that refused requests get OTLP's HTTP status and a Status message in the request's own format."""

import gzip
import json
from unittest.mock import patch

import pytest
from django.db import OperationalError

from core.clients.models import ClientApp
from errors.models import ErrorEvent
from tests.otlp.exporting import (
    MESSAGES,
    PROTOBUF,
    Exporter,
    exception,
    gauge,
    logs,
    metrics,
    point,
    record,
    span,
    spans,
    status_of,
    to_protobuf,
)

pytestmark = pytest.mark.django_db

SIGNALS = list(MESSAGES)
VALID = {"traces": spans(span()), "logs": logs(record()), "metrics": metrics(gauge("g", point(1)))}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    "content_type", [PROTOBUF, "application/json", "application/json; charset=utf-8"]
)
def test_an_empty_message_is_accepted(exporter: Exporter, signal: str, content_type: str) -> None:
    body = b"" if content_type == PROTOBUF else b"{}"

    answer = exporter.post(signal, body, content_type, **{"Content-Type": content_type})

    assert answer.status_code == 200
    assert answer["Content-Type"] == content_type.partition(";")[0]
    assert answer.content in (b"", b"{}")


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_message_that_is_cut_short_is_refused(exporter: Exporter, signal: str) -> None:
    whole = to_protobuf(signal, VALID[signal])

    for length in (1, len(whole) // 2, len(whole) - 1):
        answer = exporter.post(signal, whole[:length], PROTOBUF)

        assert answer.status_code == 400
        assert answer["Content-Type"] == PROTOBUF
        assert status_of(answer).code == 3
        assert "not a valid Export" in status_of(answer).message


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"7", b"null", b"\xff\xfe", b'{"resourceSpans":7}', b"[" * 100_000,
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz!"}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]}',
    ],
)  # fmt: skip
def test_invalid_json_is_refused_in_json(exporter: Exporter, body: bytes) -> None:
    answer = exporter.post("traces", body, "application/json")

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/json"
    assert json.loads(answer.content)["code"] == 3


def test_unknown_members_are_ignored(exporter: Exporter) -> None:
    body = b'{"resourceSpans":[{"future":1,"scopeSpans":[{"spans":[{"kind":2,"new":{}}]}]}],"x":[]}'

    assert exporter.post("traces", body, "application/json").status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/octet-stream", "", "application/grpc"]
)
def test_another_content_type_is_refused(exporter: Exporter, content_type: str) -> None:
    answer = exporter.post("traces", b"{}", content_type)

    assert answer.status_code == 415
    assert "application/x-protobuf" in status_of(answer).message


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_decompression_bomb_is_refused_early(exporter: Exporter, signal: str) -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024), 9)

    answer = exporter.post(signal, bomb, PROTOBUF, **{"Content-Encoding": "gzip"})

    assert answer.status_code == 413
    assert "8 MiB" in status_of(answer).message


def test_a_body_over_the_limit_is_refused(exporter: Exporter) -> None:
    answer = exporter.post("logs", bytes(5 * 1024 * 1024 + 1), PROTOBUF)

    assert answer.status_code == 413
    assert status_of(answer).message


def test_a_body_that_is_not_gzip_is_refused(exporter: Exporter) -> None:
    answer = exporter.post("logs", b"plain", PROTOBUF, **{"Content-Encoding": "gzip"})

    assert answer.status_code == 400


def test_an_unsupported_encoding_is_refused(exporter: Exporter) -> None:
    answer = exporter.post("logs", b"packed", PROTOBUF, **{"Content-Encoding": "compress"})

    assert answer.status_code == 415
    assert "gzip" in answer["Accept-Encoding"]
    assert "compress" in status_of(answer).message


def test_attributes_that_are_nested_too_deeply_are_refused(exporter: Exporter) -> None:
    deep = b'{"stringValue":"x"}'
    for _ in range(200):
        deep = b'{"arrayValue":{"values":[' + deep + b"]}}"
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + deep + b"}]}]}]}"

    assert exporter.post("logs", body, "application/json").status_code == 400


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "X-Opsportal-Key"])
def test_the_key_may_be_in_several_headers(exporter: Exporter, header: str) -> None:
    key = exporter.key
    exporter.headers = {header: f"Bearer {key}" if header == "Authorization" else key}

    assert exporter.post("traces", b"{}", "application/json").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [({}, 401, 16), ({"Authorization": "Bearer " + "0" * 32}, 403, 7)],
)
def test_a_wrong_key_is_refused_before_the_body_is_read(
    exporter: Exporter, headers: dict[str, str], status: int, code: int
) -> None:
    exporter.headers = headers

    answer = exporter.post("traces", b"\xff", PROTOBUF)

    assert answer.status_code == status
    assert status_of(answer).code == code


def test_only_post_is_allowed(exporter: Exporter) -> None:
    answer = exporter.client.get("/v1/traces", headers=exporter.headers)

    assert answer.status_code == 405
    assert answer["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_unavailable_database_asks_the_exporter_to_wait(
    exporter: Exporter, shop: ClientApp, signal: str
) -> None:
    body = to_protobuf(signal, VALID[signal])
    # Cache the key, so that the next request does not need the database for it.
    exporter.post(signal, body, PROTOBUF)

    with (
        patch("otlp.services.transaction.atomic", side_effect=OperationalError("gone")),
        patch("logs.services.transaction.atomic", side_effect=OperationalError("gone")),
    ):
        answer = exporter.post(signal, body, PROTOBUF)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1
    assert status_of(answer).code == 14


def test_an_event_that_cannot_be_stored_is_a_500(exporter: Exporter) -> None:
    with patch("otlp.views.traces.read", side_effect=ZeroDivisionError):
        answer = exporter.post(
            "traces", to_protobuf("traces", spans(span(events=[exception()]))), PROTOBUF
        )

    assert answer.status_code == 500
    assert status_of(answer).code == 13
    assert not ErrorEvent.objects.exists()
