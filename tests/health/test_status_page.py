"""Test the public status page, with and without the database."""

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from health.caches import status as status_module
from health.caches.status import StatusCache, status_cache
from health.models import (
    Component,
    Incident,
    IncidentState,
    IncidentUpdate,
    MaintenanceWindow,
)
from health.queries.public_status import PublicStatus
from health.services import record_results
from health.services.incidents import sync_with_updates
from health.tasks import keep_status
from health.verdict import Result, Status
from tests.factories import make_component

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("patient_status_cache")]


NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def public(title: str, verdict: Status = Status.HEALTHY) -> Component:
    component = make_component(title.lower(), title=title, is_public=True)
    result = Result(verdict, timezone.now(), 12, "refused by db.internal:5432")
    record_results([(component, [result])], now=timezone.now())
    return component


@pytest.fixture
def make_database_unavailable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function that makes the database refuse all new connections."""
    own = connections["default"]

    def close_connections() -> None:
        own.close()
        if own.vendor == "postgresql":
            own.close_pool()  # type: ignore[attr-defined]

    def make_unavailable() -> None:
        monkeypatch.setattr(status_module, "READ_TIMEOUT_SECONDS", 0.5)
        close_connections()
        monkeypatch.setitem(own.settings_dict, "NAME", "/nowhere/opsportal.sqlite3")
        monkeypatch.setitem(own.settings_dict, "HOST", "/nowhere")

    yield make_unavailable
    close_connections()


@pytest.mark.django_db(transaction=True)
def test_the_page_shows_that_all_systems_are_operational(client: Client) -> None:
    public("Shop")
    page = client.get("/status/").content.decode()

    assert "All systems operational" in page
    assert "Shop" in page
    assert "<rect" not in page  # The chart draws rectangles only for days with problems.
    assert "Shop: 90 days, 1 with results, 0 of them with problems" in page
    assert "<script" not in page


@pytest.mark.django_db(transaction=True)
def test_an_outage_is_shown_without_private_details(client: Client) -> None:
    public("Shop", Status.UNHEALTHY)
    make_component("secret-billing-db", title="Secret billing", status="unhealthy")

    page = client.get("/status/").content.decode()

    assert "Major outage" in page  # Every public component is down.
    assert "Shop down" in page  # The outage has opened an incident automatically.
    for private in ("db.internal", "Secret billing", "secret-billing"):
        assert private not in page + client.get("/status/status.json").content.decode()


@pytest.mark.django_db(transaction=True)
def test_public_incidents_and_maintenance_name_public_components_only(client: Client) -> None:
    shop, secret = public("Shop"), make_component("billing", title="Secret billing")
    now = timezone.now()
    for component in (shop, secret):
        Incident.objects.create(
            title="Outage", component=component, started_at=now - timedelta(hours=1), is_public=True
        )
    window = MaintenanceWindow.objects.create(
        title="Move", starts_at=now, ends_at=now + timedelta(hours=1)
    )
    window.components.set([shop, secret])

    data = client.get("/status/status.json").json()["data"]

    assert [one["components"] for one in data["incidents"]] == [[], ["Shop"]]
    assert [one["components"] for one in data["maintenance"]] == [["Shop"]]


@pytest.mark.django_db(transaction=True)
def test_incidents_and_maintenance_are_shown_in_order(client: Client) -> None:
    now = timezone.now()
    incident = Incident.objects.create(
        title="Slow <checkout>", started_at=now - timedelta(hours=1), is_public=True
    )
    for minutes, state, text in (
        (50, "investigating", "We are investigating."),
        (20, "identified", "Cause found."),
    ):
        IncidentUpdate.objects.create(
            incident=incident, at=now - timedelta(minutes=minutes), state=state, text=text
        )
    Incident.objects.create(title="Internal only", started_at=now)
    MaintenanceWindow.objects.create(
        title="Move to a new host",
        starts_at=now + timedelta(days=1),
        ends_at=now + timedelta(days=1, hours=2),
    )

    page = client.get("/status/").content.decode()

    assert "Slow &lt;checkout&gt;" in page
    assert page.index("Cause found.") < page.index("We are investigating.")
    assert "Move to a new host" in page
    assert "Internal only" not in page
    feed = client.get("/status/feed.atom")
    assert feed["Content-Type"].startswith("application/atom+xml")
    assert "Slow &lt;checkout&gt;" in feed.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statuses", "headline"),
    [
        (["healthy", "healthy"], "All systems operational"),
        (["healthy", "degraded"], "Some systems are degraded"),
        (["healthy", "unhealthy"], "Partial outage"),
        (["unhealthy", "healthy", "unhealthy"], "Major outage"),
        (["unhealthy"], "Major outage"),
    ],
)
def test_the_headline_depends_on_the_share_of_components_that_are_down(
    client: Client, statuses: list[str], headline: str
) -> None:
    for number, status in enumerate(statuses):
        public(f"Shop {number}", Status(status))

    assert f'<p class="verdict">{headline}</p>' in client.get("/status/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_component_under_maintenance_is_not_an_outage(client: Client) -> None:
    shop, now = public("Shop", Status.UNHEALTHY), timezone.now()
    public("Tickets")
    window = MaintenanceWindow.objects.create(
        title="Move", starts_at=now, ends_at=now + timedelta(hours=1)
    )
    window.components.add(shop)

    assert "All systems operational" in client.get("/status/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_hundred_components_are_a_small_page_in_natural_order(client: Client) -> None:
    components = [
        make_component(f"s{number}", title=f"Shop {number}", is_public=True)
        for number in range(200)
    ]
    result = Result(Status.HEALTHY, timezone.now(), 12)
    record_results([(component, [result]) for component in components], now=timezone.now())
    public("Shop 7b", Status.UNHEALTHY)

    plain = client.get("/status/")
    packed = client.get("/status/", headers={"Accept-Encoding": "br, gzip;q=0.8"})

    page = plain.content.decode()
    assert len(plain.content) < 250_000
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) < 20_000
    assert gzip.decompress(packed.content) == plain.content
    assert "Accept-Encoding" in packed["Vary"]
    # The failing component is listed before the collapsed part.
    assert page.index(">Shop 7b<") < page.index("<details")
    assert "200 operational components" in page
    assert page.index(">Shop 2<") < page.index(">Shop 10<") < page.index(">Shop 100<")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/status/", "/status/status.json", "/status/feed.atom"])
def test_compressed_and_plain_responses_have_different_etags(client: Client, path: str) -> None:
    public("Shop")
    plain = client.get(path, headers={"Accept-Encoding": "gzip;q=0, br"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain
    assert gzip.decompress(packed.content) == plain.content
    assert plain["ETag"] != packed["ETag"]
    again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": packed["ETag"]})
    assert (again.status_code, again.content, "Content-Encoding" in again) == (304, b"", False)


@pytest.mark.django_db(transaction=True)
def test_groups_are_collapsed_while_their_components_work(client: Client) -> None:
    public("Search")
    for title, group, status in (
        ("Berlin", "Gates", Status.HEALTHY),
        ("Paris", "Gates", Status.HEALTHY),
        ("Cards", "Payments", Status.UNHEALTHY),
        ("Vouchers", "Payments", Status.HEALTHY),
    ):
        public(title, status)
        Component.objects.filter(title=title).update(group=group)

    page = client.get("/status/").content.decode()

    assert page.index("Search") < page.index(">Gates<") < page.index(">Payments<")
    assert re.findall(r'<details class="public-group"( open)?>', page) == ["", " open"]
    assert "2 components" in page
    assert "1 of 2 down" in page
    data = client.get("/status/status.json").json()["data"]
    assert {one["title"]: one["group"] for one in data["components"]}["Cards"] == "Payments"


@pytest.mark.django_db(transaction=True)
def test_a_new_component_shows_its_first_measurement_instead_of_an_uptime(client: Client) -> None:
    public("Shop", Status.UNHEALTHY)

    page = client.get("/status/").content.decode()

    # Only the title of today's bar may contain 0.00 %, and not the component's uptime.
    assert "0.00 %" not in page.replace(": 0.00 % up", "")
    assert "monitored since" in page
    [shop] = client.get("/status/status.json").json()["data"]["components"]
    assert shop["uptime_percent"] is None
    assert shop["measured_since"]


@pytest.mark.django_db(transaction=True)
def test_the_feed_changes_only_with_its_incidents(client: Client) -> None:
    public("Shop")

    def updated() -> str:
        status_cache.clear()
        feed = client.get("/status/feed.atom").content.decode()
        return str(re.findall(r"<updated>(.*?)</updated>", feed)[0])

    before = updated()
    assert before == updated()

    then = timezone.now() - timedelta(days=100)
    incident = Incident.objects.create(title="Outage", started_at=then, is_public=True)
    assert updated()[:10] == f"{then:%Y-%m-%d}"
    IncidentUpdate.objects.create(
        incident=incident, at=then + timedelta(days=3), state=IncidentState.RESOLVED, text="Fixed."
    )
    sync_with_updates(incident, now=timezone.now())
    # The resolved incident is too old to be listed, but the feed's time still includes its last update.
    assert updated()[:10] == f"{then + timedelta(days=3):%Y-%m-%d}"
    Incident.objects.create(title="Internal", started_at=timezone.now())
    assert updated()[:10] == f"{then + timedelta(days=3):%Y-%m-%d}"


@pytest.mark.django_db(transaction=True)
def test_the_page_is_cacheable_and_supports_etags(client: Client) -> None:
    public("Shop")
    first = client.get("/status/")
    again = client.get("/status/", headers={"If-None-Match": first["ETag"]})

    assert "public" in first["Cache-Control"]
    assert not first.cookies
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.django_db(transaction=True)
def test_a_second_request_runs_no_query(client: Client, django_assert_num_queries: object) -> None:
    public("Shop")
    client.get("/status/")
    with django_assert_num_queries(0):  # type: ignore[operator]
        started = time.process_time()
        client.get("/status/")
        assert time.process_time() - started < 0.02


@pytest.mark.django_db(transaction=True)
def test_the_last_known_status_is_shown_while_the_database_is_unavailable(
    client: Client, make_database_unavailable: Callable[[], None]
) -> None:
    public("Shop")
    assert keep_status() == "healthy"
    status_cache.clear()
    make_database_unavailable()

    started = time.monotonic()
    response = client.get("/status/")

    page = response.content.decode()
    assert response.status_code == 200
    assert "Current status unavailable" in page
    assert "All systems operational" not in page
    assert "Shop" in page
    assert "Traceback" not in page
    # The limit leaves a margin for busy test machines.
    assert time.monotonic() - started < 4
    assert client.get("/status/status.json").json()["stale"] is True


@pytest.mark.django_db(transaction=True)
def test_the_page_says_so_when_no_status_is_known(
    client: Client, make_database_unavailable: Callable[[], None]
) -> None:
    make_database_unavailable()

    page = client.get("/status/").content.decode()

    assert "Status unavailable" in page
    assert client.get("/status/status.json").status_code == 503


def test_a_status_that_was_read_before_the_cache_was_cleared_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started, released = threading.Event(), threading.Event()

    def load(now: datetime) -> PublicStatus:
        if now == NOON:
            started.set()
            released.wait(60)
        return PublicStatus(made_at=now, status="healthy")

    monkeypatch.setattr(status_module, "load_public_status", load)
    monkeypatch.setattr(status_module, "write_snapshot", lambda status: None)
    cache = StatusCache()
    reader = threading.Thread(target=cache.read, kwargs={"now": NOON})
    reader.start()
    started.wait(60)

    cache.clear()
    later = NOON + timedelta(seconds=1)
    known, is_fresh = cache.read(now=later)
    released.set()
    reader.join()

    assert known is not None
    assert (known.made_at, is_fresh) == (later, True)
    kept, _ = cache.read(now=later)
    assert kept is not None
    assert kept.made_at == later
