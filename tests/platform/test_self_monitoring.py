"""The portal's own requests are measured without slowing them, and without a series for every id."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django.fixtures import Settings

from health.models import Latency, Series, Tier
from opsportal import self_monitoring
from opsportal.clients.services import ensure_portal_app

pytestmark = [pytest.mark.urls("tests.platform.urls"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def switched_on(settings: Settings) -> Iterator[None]:
    settings.SELF_MONITORING = True
    ensure_portal_app()
    self_monitoring._durations.clear()
    yield
    self_monitoring._durations.clear()


def test_requests_are_counted_under_their_pattern() -> None:
    client = Client(raise_request_exception=False)
    for how in ("one", "two", "bug"):
        client.get(f"/breaks/{how}")
    client.get("/nowhere/at/all")

    assert self_monitoring.write_durations() == 4
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


def test_probes_and_static_files_are_not_counted() -> None:
    for path in ("/livez", "/static/x.css", "/metrics"):
        Client().get(path)
    assert self_monitoring.write_durations() == 0


def test_no_request_waits_for_the_database(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        Client().get("/breaks/fine")
    assert Series.objects.count() == 0


def test_what_cannot_be_written_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **options: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(self_monitoring, "record_measurements", gone)
    monkeypatch.setattr(self_monitoring, "dropped", 0)
    Client().get("/breaks/fine")

    with pytest.raises(OperationalError):
        self_monitoring.write_durations()
    assert self_monitoring.dropped == 1
    assert self_monitoring.write_durations() == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_monitoring, "MOST_KINDS", 1)
    monkeypatch.setattr(self_monitoring, "dropped", 0)
    for path in ("/breaks/fine", "/only-post", "/form"):
        Client().get(path)

    assert len(self_monitoring._durations) == 1
    assert self_monitoring.dropped >= 2
