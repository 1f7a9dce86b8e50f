"""Test exporters in browsers, whose pages have other origins: preflight requests, CORS headers, allowed origins."""

import json

import pytest
from django.test import Client

from core.clients.models import ClientApp
from errors.models import ErrorEvent
from logs.models import LogEntry
from tests.otlp.exporting import MESSAGES, Exporter, exception, logs, record, span, spans

pytestmark = pytest.mark.django_db

SIGNALS = list(MESSAGES)
PAGE = "https://shop.example"


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_preflight_request_needs_no_key(signal: str) -> None:
    answer = Client().options(
        f"/v1/{signal}",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    allowed = answer["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "content-encoding", "x-opsportal-key"} <= set(allowed)


@pytest.mark.parametrize("signal", SIGNALS)
def test_pages_can_also_read_the_response_to_a_refused_request(
    exporter: Exporter, signal: str
) -> None:
    accepted = exporter.post(signal, b"{}", "application/json", Origin=PAGE)
    refused = exporter.post(signal, b"{", "application/json", Origin=PAGE)
    without_key = Client().post(
        f"/v1/{signal}", b"{}", "application/json", headers={"Origin": PAGE}
    )

    assert [one.status_code for one in (accepted, refused, without_key)] == [200, 400, 401]
    for answer in (accepted, refused, without_key):
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer["Access-Control-Expose-Headers"]


def test_an_app_with_allowed_origins_refuses_other_origins(
    exporter: Exporter, shop: ClientApp
) -> None:
    shop.allowed_origins = [PAGE]
    shop.save()
    body = json.dumps(logs(record())).encode()

    taken = exporter.post("logs", body, "application/json", Origin=PAGE)
    refused = exporter.post("logs", body, "application/json", Origin="https://evil.example")
    server = exporter.post("logs", body, "application/json")

    assert [one.status_code for one in (taken, refused, server)] == [200, 403, 200]
    assert taken["Access-Control-Allow-Origin"] == PAGE
    assert refused["Access-Control-Allow-Origin"] == PAGE
    assert LogEntry.objects.count() == 2


def test_an_asterisk_among_the_origins_allows_all(exporter: Exporter, shop: ClientApp) -> None:
    shop.allowed_origins = ["*", "https://a.example"]
    shop.save()

    answer = exporter.post("logs", b"{}", "application/json", Origin=PAGE)

    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*")


def test_an_exception_in_a_page_is_stored(exporter: Exporter) -> None:
    message = spans(span(events=[exception()]))

    exporter.post("traces", json.dumps(message).encode(), "application/json", Origin=PAGE)

    assert ErrorEvent.objects.count() == 1
