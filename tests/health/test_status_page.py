"""The public status page, with and without the database, and its e-mail subscriptions."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from health.caches.status import snapshot_path, status_cache
from health.models import (
    Component,
    Incident,
    IncidentState,
    IncidentUpdate,
    MaintenanceWindow,
    StatusMail,
    Subscriber,
)
from health.services import record_results, subscribers
from health.tasks import keep_status
from health.verdict import Result, Status
from tests.factories import make_component

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clear_status_cache() -> None:
    status_cache.clear()
    snapshot_path().unlink(missing_ok=True)


def public(title: str, verdict: Status = Status.HEALTHY) -> Component:
    component = make_component(title.lower(), title=title, is_public=True)
    result = Result(verdict, timezone.now(), 12, "refused by db.internal:5432")
    record_results([(component, [result])], now=timezone.now())
    return component


@pytest.fixture
def make_database_unavailable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function after whose call no thread gets a new connection."""
    own = connections["default"]

    def close_connections() -> None:
        own.close()
        if own.vendor == "postgresql":
            own.close_pool()  # type: ignore[attr-defined]

    def make_unavailable() -> None:
        close_connections()
        monkeypatch.setitem(own.settings_dict, "NAME", "/nowhere/opsportal.sqlite3")
        monkeypatch.setitem(own.settings_dict, "HOST", "/nowhere")

    yield make_unavailable
    close_connections()


@pytest.mark.django_db(transaction=True)
def test_page_shows_that_all_systems_are_operational(client: Client) -> None:
    public("Shop")
    page = client.get("/status/").content.decode()

    assert "All systems operational" in page
    assert "Shop" in page
    assert page.count("<rect") == 90
    assert "<script" not in page


@pytest.mark.django_db(transaction=True)
def test_outage_is_shown_without_private_details(client: Client) -> None:
    public("Shop", Status.UNHEALTHY)
    make_component("secret-billing-db", title="Secret billing", status="unhealthy")

    page = client.get("/status/").content.decode()

    assert "degraded" in page
    assert "Shop is down" in page  # its automatic incident
    for private in ("db.internal", "Secret billing", "secret-billing"):
        assert private not in page + client.get("/status/status.json").content.decode()


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
def test_page_is_cacheable_and_supports_etags(client: Client) -> None:
    public("Shop")
    first = client.get("/status/")
    again = client.get("/status/", headers={"If-None-Match": first["ETag"]})

    assert "public" in first["Cache-Control"]
    assert not first.cookies
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.django_db(transaction=True)
def test_second_request_runs_no_query(client: Client, django_assert_num_queries: object) -> None:
    public("Shop")
    client.get("/status/")
    with django_assert_num_queries(0):  # type: ignore[operator]
        started = time.process_time()
        client.get("/status/")
        assert time.process_time() - started < 0.02


@pytest.mark.django_db(transaction=True)
def test_last_known_status_is_shown_while_the_database_is_unavailable(
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
    assert time.monotonic() - started < 4  # 0.5 s, plus delays on a shared machine
    assert client.get("/status/status.json").json()["stale"] is True


@pytest.mark.django_db(transaction=True)
def test_page_says_so_when_no_status_is_known(
    client: Client, make_database_unavailable: Callable[[], None]
) -> None:
    make_database_unavailable()

    page = client.get("/status/").content.decode()

    assert "Status unavailable" in page
    assert client.get("/status/status.json").status_code == 503


# --- subscriptions ---------------------------------------------------------------------------------------


def link(word: str) -> str:
    found = re.search(rf"http\S+(/status/{word}/\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def send_all() -> None:
    now = timezone.now()
    subscribers.queue_updates(now=now)
    subscribers.send_pending(now=now)


def test_subscriber_confirms_receives_each_update_once_and_unsubscribes(client: Client) -> None:
    assert client.post("/status/subscribe/", {"address": "Ada@example.com"}).status_code == 200
    send_all()
    assert mail.outbox[-1].to == ["Ada@example.com"]
    confirm = link("confirm")
    assert client.get(confirm).status_code == 200  # as an e-mail scanner does
    assert not Subscriber.objects.confirmed().exists()
    assert client.post(confirm).status_code == 200

    incident = Incident.objects.create(title="Outage", started_at=timezone.now(), is_public=True)
    IncidentUpdate.objects.create(
        incident=incident,
        at=timezone.now(),
        state=IncidentState.IDENTIFIED,
        text="A disk is full.",
    )
    send_all()
    send_all()

    assert len(mail.outbox) == 2
    assert mail.outbox[-1].subject == "[Identified] Outage"
    assert "A disk is full." in mail.outbox[-1].body
    assert mail.outbox[-1].extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert client.post(link("leave")).status_code == 200
    assert not Subscriber.objects.exists()
    assert not StatusMail.objects.exists()


def test_addresses_are_encrypted_in_the_database() -> None:
    subscribers.subscribe("ada@example.com", now=timezone.now())
    row = Subscriber.objects.values().get()
    assert "ada" not in str(row).lower()


def test_invalid_addresses_and_too_many_requests_are_rejected(client: Client) -> None:
    assert client.post("/status/subscribe/", {"address": "ada"}).status_code == 400
    codes = [
        client.post("/status/subscribe/", {"address": f"a{n}@example.com"}).status_code
        for n in range(6)
    ]
    assert codes == [200] * 5 + [429]


def test_repeated_request_sends_one_email_and_unconfirmed_addresses_are_deleted() -> None:
    now = timezone.now()
    subscribers.subscribe("ada@example.com", now=now)
    subscribers.subscribe("ADA@example.com ", now=now)
    assert StatusMail.objects.count() == 1

    assert subscribers.delete_unconfirmed(now=now + timedelta(hours=47)) == 0
    assert subscribers.delete_unconfirmed(now=now + timedelta(hours=49)) > 0
