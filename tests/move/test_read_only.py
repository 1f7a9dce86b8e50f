"""Test that a read-only portal shows its pages and refuses changes, in its views and in the database."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from core.clients.models import ClientApp, ClientKey
from core.jobs import cluster
from core.lib import read_only
from core.lib.read_only import Notice
from tests.two_runs import in_the_postgresql_run, in_the_sqlite_run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def notice(*, is_enforced: bool = True, is_moved: bool = False) -> Notice:
    enforced_at = time.time() + (-1 if is_enforced else 3600)
    return Notice(NOON, enforced_at, "db.internal/opsportal", is_moved=is_moved)


@pytest.fixture
def writable_again() -> Iterator[None]:
    yield
    read_only.turn_off()


@in_the_sqlite_run
@pytest.mark.usefixtures("writable_again")
class TestSQLite:
    def test_pages_are_shown_with_a_notice(self, admin_client: Client) -> None:
        read_only.turn_on(notice())

        response = admin_client.get("/admin/system-health/")

        assert response.status_code == 200
        assert "read-only while its data is being moved to PostgreSQL" in response.content.decode()

    @pytest.mark.parametrize("is_enforced", [False, True])
    def test_changes_are_refused_with_a_503_and_a_time(
        self, client: Client, is_enforced: bool
    ) -> None:
        read_only.turn_on(notice(is_enforced=is_enforced))

        page = client.post("/admin/login/", headers={"Accept": "text/html"})
        api = client.post("/api/v1/reservations/", content_type="application/json")

        assert (page.status_code, page["Retry-After"]) == (503, "60")
        assert "Nothing was changed" in page.content.decode()
        assert (api.status_code, api["Retry-After"]) == (503, "60")
        assert api["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "path", ["/api/v1/errors/", "/api/{app}/envelope/", "/api/{app}/store/"]
    )
    def test_events_are_refused_and_not_stored(self, client: Client, path: str) -> None:
        app = ClientApp.objects.create(name="Shop", slug="shop")
        key = ClientKey.objects.create(app=app)
        read_only.turn_on(notice(is_enforced=False))

        response = client.post(
            path.format(app=app.pk),
            b'{"message": "x"}',
            content_type="application/json",
            headers={"X-Sentry-Auth": f"Sentry sentry_key={key.public_key}"},
        )

        assert (response.status_code, response["Retry-After"]) == (503, "60")

    def test_the_database_refuses_writes_after_the_time_for_requests_in_flight(self) -> None:
        read_only.turn_on(notice(is_enforced=False))
        ClientApp.objects.create(name="In flight", slug="in-flight")
        read_only.turn_on(notice())

        with pytest.raises(OperationalError, match="readonly"):
            ClientApp.objects.create(name="Late", slug="late")
        with pytest.raises(OperationalError, match="readonly"), connection.cursor() as cursor:
            cursor.execute("DELETE FROM clients_clientapp")

        assert [app.slug for app in ClientApp.objects.all()] == ["in-flight"]

    def test_transactions_that_only_read_do_not_wait_for_the_write_lock(self) -> None:
        read_only.turn_on(notice())

        with transaction.atomic():
            assert connection.transaction_mode == "DEFERRED"  # type: ignore[attr-defined]
            assert ClientApp.objects.count() == 0

    def test_writes_are_possible_again_after_the_mode_is_turned_off(self) -> None:
        read_only.turn_on(notice())
        assert ClientApp.objects.count() == 0

        read_only.turn_off()

        with transaction.atomic():
            ClientApp.objects.create(name="Shop", slug="shop")
        assert connection.transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]

    def test_other_processes_notice_the_mode_within_half_a_second(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert read_only.current() is None
        read_only.turn_on(notice())
        monkeypatch.setattr(read_only, "_cached", (time.monotonic() + 0.5, None))
        assert read_only.current() is None

        monkeypatch.setattr(read_only, "_cached", (time.monotonic(), None))

        assert read_only.current() is not None

    def test_the_worker_cluster_stops_for_the_read_only_mode_and_waits_for_its_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                read_only.turn_off()

        read_only.turn_on(notice())
        monkeypatch.setattr("core.lib.read_only.time.sleep", sleep)
        monkeypatch.setattr(cluster, "_prepare", lambda *args, **kwargs: (_ for _ in ()).throw(SystemExit))  # fmt: skip

        with pytest.raises(SystemExit):
            cluster.run()

        assert len(waits) == 3

    def test_a_moved_portal_says_so(self) -> None:
        read_only.turn_on(notice(is_moved=True))

        current = read_only.current()
        assert current
        assert "has been moved to PostgreSQL" in current.text
        # The notice is public, so it must not contain the name of the host.
        assert "db.internal" not in current.text


@in_the_postgresql_run
def test_a_portal_on_postgresql_is_never_read_only() -> None:
    assert read_only.current() is None
    assert not read_only.is_enforced()
