"""Test that an erasure removes a person permanently from all records, and keeps amounts, times and seats."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from core.accounts.models import AuditEvent
from core.lib.customers import PREFIX, customer_reference, pseudonym
from errors.models import ErrorEvent
from impact.extension_points import Person, erasers
from impact.models import (
    Erasure,
    Order,
    OrderReference,
)
from impact.services import erasure
from impact.services.catch_up import catch_up
from impact.services.erasure import continue_erasures, erase_person
from payments.models import Payment
from payments.services import sweep
from reservations import services
from reservations.models import Reservation, TicketType, WaitingEntry
from tests.factories import make_payment
from tests.impact.support import buy_everything

pytestmark = pytest.mark.django_db
ADDRESS = "ann@example.org"
MINUTE = timedelta(minutes=1)
APPS = ("payments", "reservations", "impact", "errors", "alerts", "access", "clients", "limits")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def browse() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    return client


def find(*texts: str) -> list[str]:
    """Return the names of the tables that contain any of the texts."""
    return [
        model._meta.db_table
        for app in APPS
        for model in apps.get_app_config(app).get_models()
        if any(text in repr(row) for row in model._default_manager.values() for text in texts)
    ]


@pytest.mark.parametrize("given", ["buyer-17", ADDRESS, "stored reference"])
def test_a_person_is_erased_from_every_record(given: str, now: datetime) -> None:
    reference = customer_reference("buyer-17" if given == "buyer-17" else ADDRESS)
    given = reference if given == "stored reference" else given
    buy_everything(reference, now)
    assert len(find(reference, pseudonym(reference))) == 9

    made = erase_person(customer=given, user=None, now=now)

    assert find(reference, pseudonym(reference), ADDRESS) == []
    assert made.finished_at == now
    assert made.counts.pop("links") >= 1
    assert made.counts == {
        "errors": 4,  # Two events, and the row of the affected user in each of their groups.
        "list_entries": 1,
        "orders": 3,
        "payments": 1,
        "reservations": 3,
        "waiting_entries": 1,
    }


def test_amounts_orders_and_seats_are_kept(now: datetime) -> None:
    buy_everything("buyer-17", now)

    erase_person(customer="buyer-17", user=None, now=now)

    assert Order.objects.filter(key="order:o-paid", amount=4500, stage="paid", customer="").exists()
    assert Payment.objects.get().amount_received == 4500
    assert Reservation.objects.filter(status="completed", order_id="o-paid").exists()
    assert WaitingEntry.objects.get().state == "left"
    assert not TicketType.objects.filter(has_waiting_buyers=True).exists()


@pytest.mark.parametrize("model", [Payment, Reservation])
def test_a_later_change_does_not_restore_the_persons_data(model: Any, now: datetime) -> None:
    buy_everything("buyer-17", now)
    erase_person(customer="buyer-17", user=None, now=now)

    for row in model.objects.all():
        row.order_id += "-new"
        row.save()
    services.release_expired(now=now + timedelta(days=1))
    catch_up(seconds=20)

    assert find("buyer-17") == []
    assert not OrderReference.objects.filter(kind="user").exists()


def test_orders_are_erased_before_they_are_computed_again(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy_everything("buyer-17", now)
    monkeypatch.setattr("impact.services.erasure.CATCH_UP_SECONDS", 0.0)

    erase_person(customer="buyer-17", user=None, now=now)

    assert find("buyer-17") == []


def test_fingerprints_of_requests_are_removed(now: datetime) -> None:
    buy_everything("buyer-17", now)
    for model in (Payment, Reservation):
        model.objects.update(fingerprint="f" * 64)

    erase_person(customer="buyer-17", user=None, now=now)

    assert set(Payment.objects.values_list("fingerprint", flat=True)) == {""}
    assert set(Reservation.objects.values_list("fingerprint", flat=True)) == {""}


def test_a_person_who_is_stored_under_an_earlier_key_is_erased(
    now: datetime, settings: Settings
) -> None:
    buy_everything(customer_reference(ADDRESS), now)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is as long as a real one"

    erase_person(customer=ADDRESS, user=None, now=now)

    assert find(PREFIX) == []


def test_other_persons_are_not_erased(now: datetime) -> None:
    buy_everything("buyer-17", now)
    make_payment(customer="buyer-170")

    erase_person(customer="buyer-17", user=None, now=now)

    assert Payment.objects.filter(customer="buyer-170").exists()


def test_a_second_erasure_changes_nothing(now: datetime) -> None:
    buy_everything("buyer-17", now)
    erase_person(customer="buyer-17", user=None, now=now)

    again = erase_person(customer="buyer-17", user=None, now=now)

    assert (again.counts, again.summary) == ({}, "none")


def test_an_unfinished_payment_is_finished_without_the_person(now: datetime) -> None:
    payment = make_payment(customer="buyer-17", state="started", finished_at=None, status="asked")

    erase_person(customer="buyer-17", user=None, now=now)
    sweep(now=now + timedelta(days=2))

    payment.refresh_from_db()
    assert payment.customer == ""


@pytest.mark.parametrize(
    "step", ["errors", "orders", "payments", "reservations", "waiting_entries"]
)
def test_a_killed_erasure_is_continued(
    step: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    buy_everything("buyer-17", now)
    name, erase = erasers.get(step)

    def die(person: Person, limit: int, at: datetime) -> int:
        erase(person, limit, at)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(erasers._items, step, (name, die))
        with pytest.raises(Killed):
            erase_person(customer="buyer-17", user=None, now=now)
    assert find("buyer-17")

    assert continue_erasures(now=now) == 1

    assert find("buyer-17") == []
    assert Erasure.objects.get().counts["reservations"] == 3
    assert continue_erasures(now=now) == 0


def test_many_records_are_changed_in_small_transactions(
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    monkeypatch.setattr(erasure, "STEP_SIZE", 2)
    for _ in range(5):
        make_payment(customer="buyer-17")

    made = erase_person(customer="buyer-17", user=None, now=now)

    assert made.counts["payments"] == 5
    assert find("buyer-17") == []


def test_the_erasure_is_audited_without_the_person(now: datetime, browse: Client) -> None:
    buy_everything("buyer-17", now)

    browse.post(reverse("impact:erase"), {"customer": "buyer-17", "step": "confirmed"})

    done = (
        AuditEvent.objects.filter(username="owner").order_by("pk").values_list("action", flat=True)
    )
    assert list(done)[1:] == ["erasure of a person requested", "person erased"]
    assert "payments: 1" in AuditEvent.objects.get(action="person erased").detail
    page = browse.get(reverse("payments:payment-page", args=[Payment.objects.get().uuid]))
    assert "customer erased" in page.content.decode()


def test_staff_must_confirm_an_erasure(now: datetime, browse: Client) -> None:
    buy_everything("buyer-17", now)
    url = reverse("impact:erase")

    asked = browse.post(url, {"customer": " buyer-17 "}).content.decode()
    assert "This cannot be undone" in asked
    assert find("buyer-17")

    done = browse.post(url, {"customer": "buyer-17", "step": "confirmed"}, follow=True)
    page = done.content.decode()
    assert "The person was erased. Changed records: " in page
    assert "Finished" in page
    assert "Enter the customer." in browse.post(url, {"customer": " "}).content.decode()


def test_erasing_requires_the_permission(browse: Client) -> None:
    eve = Client()
    eve.force_login(User.objects.create_user("eve", is_staff=True))

    assert eve.get(reverse("impact:erase")).status_code == 403
    assert eve.post(reverse("impact:erase"), {"customer": "buyer-17"}).status_code == 403


def test_an_error_still_names_its_order(now: datetime) -> None:
    buy_everything("buyer-17", now)

    erase_person(customer="buyer-17", user=None, now=now)

    assert ErrorEvent.objects.filter(order_ref="o-lost").exists()
