"""Test that staff can find, download and erase all stored data of a person."""

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.accounts.models import AuditEvent
from core.lib.customers import customer_reference
from core.lib.retention import retention_periods
from errors.ingest.authentication import Project
from errors.models import ErrorEvent, UserReport
from health.models import Subscriber
from health.services import subscribers
from impact.extension_points import erasers, record_sources
from impact.models import Erasure
from impact.queries.person import all_records, find_person
from impact.services.erasure import erase_person
from impact.services.restored_erasures import erasures_file, keep_beside_backups
from logs.models import Level, LogEntry
from logs.records import Record
from logs.services import record_logs
from payments.models import Payment
from reservations.models import Reservation
from tests.factories import make_app, make_payment
from tests.impact.support import buy_everything

pytestmark = pytest.mark.django_db
ADDRESS = "ann@example.org"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def browse() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    return client


def log(body: str, **attributes: str) -> None:
    record = Record(Level.INFO, body, attributes=attributes)
    record_logs([record], project=Project.of(make_app()), now=timezone.now())


def leave_traces(customer: str, now: datetime) -> None:
    """Create at least one record of every kind about a customer."""
    buy_everything(customer, now)
    event = ErrorEvent.objects.latest("pk")
    UserReport.objects.create(
        app_id=event.app_id, event_id=event.event_id, message="It broke.", received_at=now
    )
    log("checkout failed", **{"user.id": event.user_key})


def kinds(given: str) -> dict[str, int]:
    """Return the number of records of each kind about the person."""
    found: dict[str, int] = {}
    for kind, _ in all_records(find_person(given)):
        found[kind] = found.get(kind, 0) + 1
    return found


ALL = {
    "errors": 2,
    "list_entries": 1,
    "logs": 1,
    "payments": 1,
    "reservations": 3,
    "waiting_entries": 1,
}


def test_every_record_of_a_customer_is_found(now: datetime) -> None:
    leave_traces("buyer-17", now)
    leave_traces("buyer-170", now)

    assert kinds("buyer-17") == ALL
    assert kinds("buyer-1") == {}


def test_every_record_of_an_address_is_found(now: datetime) -> None:
    leave_traces(customer_reference(ADDRESS), now)
    subscribers.subscribe(ADDRESS, now=now)

    assert kinds("Ann@Example.org") == ALL | {"subscribers": 1}
    assert kinds("bob@example.org") == {}


def test_no_record_is_found_after_the_erasure(now: datetime) -> None:
    leave_traces(customer_reference(ADDRESS), now)
    log("another entry")
    subscribers.subscribe(ADDRESS, now=now)
    subscribers.subscribe("bob@example.org", now=now)

    made = erase_person(customer=ADDRESS, user=None, now=now)

    assert kinds(ADDRESS) == {}
    assert (made.counts["logs"], made.counts["subscribers"]) == (1, 1)
    assert [entry.body for entry in LogEntry.objects.all()] == ["another entry"]
    assert Subscriber.objects.count() == 1
    assert not UserReport.objects.exists()


def test_the_download_contains_every_record_with_its_data(now: datetime, browse: Client) -> None:
    leave_traces("buyer-17", now)

    response: Any = browse.post(
        reverse("impact:person"), {"customer": "buyer-17", "step": "export"}
    )

    records = json.loads(b"".join(response.streaming_content))["records"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_kind.setdefault(record["kind"], []).append(record)
    assert {kind: len(found) for kind, found in by_kind.items()} == ALL
    [payment] = by_kind["payments"]
    assert (payment["order_id"], payment["amount"], payment["currency"]) == ("o-paid", 4500, "EUR")
    assert payment["id"] == str(Payment.objects.get().uuid)
    lost = next(one for one in by_kind["reservations"] if one["order_id"] == "o-lost")
    assert lost["tickets"][0]["quantity"] == 1
    assert [text for one in by_kind["errors"] for text in one["feedback"]] == ["It broke."]
    assert by_kind["logs"][0]["body"] == "checkout failed"
    assert response["Content-Disposition"].startswith("attachment; filename=")
    event = AuditEvent.objects.latest("pk")
    assert event.action == "data of a person downloaded"
    assert "buyer-17" not in f"{event.target} {event.detail}"


def test_the_download_of_an_error_contains_its_stored_event(now: datetime) -> None:
    buy_everything("buyer-17", now)

    events = [
        data["event"] for kind, data in all_records(find_person("buyer-17")) if kind == "errors"
    ]

    assert len(events) == 2
    assert all(isinstance(event, dict) or event is None for event in events)


@pytest.mark.parametrize("record", ["order", "payment", "reservation"])
def test_the_customer_of_an_order_is_found(record: str, now: datetime, browse: Client) -> None:
    buy_everything("buyer-17", now)
    given = {
        "order": "o-paid",
        "payment": str(Payment.objects.get().uuid),
        "reservation": str(Reservation.objects.filter(order_id="o-held").get().uuid),
    }[record]

    page = browse.post(reverse("impact:person"), {"customer": given, "by": "order"})

    assert "buyer-17" in page.content.decode()
    assert page.context["customer"] == "buyer-17"


def test_an_order_of_several_customers_offers_them_for_selection(
    now: datetime, browse: Client
) -> None:
    make_payment(customer="buyer-1", order_id="1001", app=make_app())
    make_payment(customer="1001", order_id="2002", app=make_app())

    page = browse.post(reverse("impact:person"), {"customer": "1001", "by": "order"})
    nobody = browse.post(reverse("impact:person"), {"customer": "3003", "by": "order"})

    # The search is for an order, so it must not find the customer whose id is 1001.
    assert page.context["customer"] == "buyer-1"
    assert "No person found" in nobody.content.decode()


def test_the_page_shows_the_newest_records_with_links(
    now: datetime, browse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_traces("buyer-17", now)
    monkeypatch.setattr("impact.queries.person.MAX_SHOWN", 2)

    text = browse.post(reverse("impact:person"), {"customer": " buyer-17 "}).content.decode()

    for row in (Payment.objects.get(), Reservation.objects.latest("pk")):
        assert str(row.uuid) in text
    assert "more than 2" in text
    assert "checkout failed" in text


def test_an_empty_form_explains_what_to_enter(browse: Client) -> None:
    assert (
        "Enter a value."
        in browse.post(reverse("impact:person"), {"customer": " "}).content.decode()
    )


def test_only_staff_with_the_permission_can_see_the_data_of_a_person(now: datetime) -> None:
    eve = Client()
    eve.force_login(User.objects.create_user("eve", is_staff=True))

    assert eve.post(reverse("impact:person"), {"customer": "buyer-17"}).status_code == 403
    assert eve.get(reverse("impact:retention")).status_code == 403


def test_every_kind_of_record_can_be_erased(now: datetime) -> None:
    assert set(record_sources.names()) <= set(erasers.names())


def test_the_retention_page_shows_periods_and_where_to_change_them(
    browse: Client, settings: Any
) -> None:
    make_app(name="Box office", retention_days=45)
    settings.LOG_DAYS = 5

    text = browse.get(reverse("impact:retention")).content.decode()

    assert "Events of Box office" in text
    kept = {row.data: row for list_kept in retention_periods for row in list_kept()}
    assert kept["Events of Box office"].period == timedelta(days=45)
    assert kept["Log entries and traced requests"].period_text == "5 d"
    assert kept["Payments"].period_text == "no time limit"


# --- after a restore ---------------------------------------------------------------------------


def test_erasures_can_be_repeated_after_a_restore(
    now: datetime, settings: Any, tmp_path: Path
) -> None:
    settings.BACKUP_DIR = tmp_path / "backups"
    reference = customer_reference(ADDRESS)
    erase_person(customer=ADDRESS, user=None, now=now)
    erase_person(customer="buyer-17", user=None, now=now)
    assert keep_beside_backups() == 2
    assert keep_beside_backups() == 0
    text = erasures_file().read_text()
    assert not any(one in text for one in (reference, ADDRESS, "buyer-17"))
    assert erasures_file().stat().st_mode & 0o777 == 0o600
    # Simulate the restore of a backup from before the erasures, after a rotation of SECRET_KEY.
    Erasure.objects.all().delete()
    leave_traces(reference, now)
    leave_traces("buyer-18", now)
    subscribers.subscribe(ADDRESS, now=now)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is as long as a real one"
    out = StringIO()

    call_command("repeat_erasures", stdout=out)

    assert kinds(reference) == {}
    assert not Subscriber.objects.exists()
    assert kinds("buyer-18") == ALL
    assert "People who had been erased: 2. People with records again: 1." in out.getvalue()
    assert AuditEvent.objects.filter(action="person erased").count() == 3


def test_a_file_without_erasures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "erasures.jsonl"
    with pytest.raises(CommandError, match="no person has been erased"):
        call_command("repeat_erasures", path)
    path.write_text("[1]\n")
    with pytest.raises(CommandError, match="is not a file of erasures"):
        call_command("repeat_erasures", path)
