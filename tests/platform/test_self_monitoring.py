"""Test that the portal records its own requests and errors without delaying or failing a request."""

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django.fixtures import Settings

from core.clients.services import ensure_portal_app
from core.lib import background
from core.lib.memory_limits import MemoryLimiter
from errors.models import ErrorEvent
from errors.store import payloads
from health.models import Latency, Series, Tier
from opsportal.self_monitoring import errors, requests
from opsportal.self_monitoring.errors import own_errors
from opsportal.self_monitoring.requests import own_requests

pytestmark = [pytest.mark.urls("tests.platform.urls"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def switched_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.SELF_MONITORING = True
    # Tests write the collected data themselves.
    monkeypatch.setattr(background, "start", lambda: None)
    monkeypatch.setattr(errors, "_limiter", MemoryLimiter())
    ensure_portal_app()
    own_requests.clear()
    own_errors.clear()
    yield
    own_requests.clear()
    own_errors.clear()


def test_requests_are_counted_under_their_url_pattern() -> None:
    client = Client(raise_request_exception=False)
    for how in ("one", "two", "bug"):
        client.get(f"/breaks/{how}")
    client.get("/nowhere/at/all")

    assert own_requests.flush() == 4
    counts = {
        name: (count, failed)
        for name, count, failed in Latency.objects.filter(
            tier=Tier.MINUTE, series__app__slug="opsportal"
        ).values_list("series__name", "count", "failed")
    }
    assert counts == {
        "GET /breaks/<slug:how>": (3, 1),
        "GET (no such page)": (1, 0),
    }


def test_invented_methods_create_no_series() -> None:
    for n in range(3):
        Client().generic(f"INVENTED{n}", "/nowhere")

    own_requests.flush()
    names = Series.objects.exclude(name="").values_list("name", flat=True)
    assert list(names) == ["(other) (no such page)"]


def test_probes_and_static_files_are_not_counted() -> None:
    for path in ("/livez", "/static/x.css", "/metrics"):
        Client().get(path)
    assert own_requests.flush() == 0


def test_measuring_a_request_does_not_use_the_database(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        Client().get("/breaks/fine")
    assert Series.objects.count() == 0


def test_measurements_that_cannot_be_written_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*args: object, **options: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(requests, "record_measurements", gone)
    monkeypatch.setattr(own_requests, "dropped_count", 0)
    Client().get("/breaks/fine")

    with pytest.raises(OperationalError):
        own_requests.flush()
    assert own_requests.dropped_count == 1
    assert own_requests.flush() == 0


def test_the_number_of_keys_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_requests, "max_keys", 1)
    monkeypatch.setattr(own_requests, "dropped_count", 0)
    for path in ("/breaks/fine", "/only-post", "/form"):
        Client().get(path)

    assert len(own_requests) == 1
    assert own_requests.dropped_count >= 2


def own_events() -> list[dict[str, Any]]:
    """Store the collected errors, and return the payloads of all stored events, newest first."""
    own_errors.flush()
    return [payloads.payload_of(event) for event in ErrorEvent.objects.order_by("-id")]


@pytest.mark.parametrize(
    ("sent", "headers", "status"),
    [
        ({"a": "b"}, {"host": "evil.example"}, 400),
        ({f"field{n}": "" for n in range(1_001)}, {}, 400),
        ({"a": "b" * 6_000_000}, {}, 413),
    ],
    ids=["a wrong Host", "too many fields", "too large"],
)
def test_invalid_requests_are_not_recorded_as_errors(
    sent: dict[str, str], headers: dict[str, str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = urlencode(sent)
    kind = "application/x-www-form-urlencoded"
    response = Client().post("/admin/login/", body, content_type=kind, headers=headers)

    assert response.status_code == status
    assert own_events() == []
    for line in capsys.readouterr().err.splitlines():
        assert json.loads(line)["level"] == "info"


def test_an_exception_in_a_view_is_recorded_with_its_frames_and_request() -> None:
    client = Client(raise_request_exception=False)
    client.get("/breaks/bug?token=x", headers={"X-Request-ID": "request-1234"})

    [event] = own_events()
    exception = event["exception"]["values"][0]
    assert exception["type"] == "RuntimeError"
    assert "ada@example.com" not in str(event)
    frame = exception["stacktrace"]["frames"][-1]
    assert frame["function"] == "breaks"
    assert "RuntimeError" in frame["context_line"]
    assert event["tags"]["request_id"] == "request-1234"
    assert event["transaction"] == "GET /breaks/<slug:how>"
    assert ErrorEvent.objects.get().request_id == "request-1234"


def test_a_log_line_is_recorded_at_level_error_but_not_at_level_warning() -> None:
    log = logging.getLogger("shop")
    log.warning("soon")
    log.error("delivery failed", extra={"channel": "slack"})

    [event] = own_events()
    assert event["logentry"]["formatted"] == "delivery failed"
    assert event["extra"]["channel"] == "slack"


def test_errors_of_the_recording_code_are_not_recorded() -> None:
    logging.getLogger("errors.store.writer").error("store failed")
    assert own_events() == []


def test_an_error_during_collection_is_not_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(record: logging.LogRecord) -> dict[str, Any]:
        logging.getLogger("shop").error("again")
        raise RuntimeError

    monkeypatch.setattr(errors, "event_of", breaks)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("shop").error("once")
    assert not own_errors


def test_a_storm_of_errors_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_errors, "dropped_count", 0)
    for n in range(200):
        logging.getLogger("shop").error("storm", extra={"n": n})

    assert len(own_errors) <= errors.MAX_PER_MINUTE
    assert own_errors.dropped_count >= 200 - errors.MAX_PER_MINUTE


def test_errors_that_cannot_be_written_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*args: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(errors, "record_events", gone)
    monkeypatch.setattr(own_errors, "dropped_count", 0)
    logging.getLogger("shop").error("lost")

    with pytest.raises(OperationalError):
        own_errors.flush()
    assert own_errors.dropped_count == 1
    assert own_errors.flush() == 0
