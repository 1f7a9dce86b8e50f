"""Test the staff pages and actions for reservations."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.accounts.services.roles import Role, ensure_roles
from core.lib.customers import customer_reference
from reservations import services
from reservations.models import Discrepancy, Event, Reservation, Status, TicketType
from reservations.queries.availability import availability_json
from tests.factories import make_app, make_event, make_payment, make_ticket_type, wanted

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def reserved(type_: TicketType, quantity: int = 1, **fields: Any) -> Reservation:
    made = services.reserve(
        app=make_app(), wanted=wanted((type_, quantity), **fields), now=timezone.now()
    )
    return made.reservation


def page(client: Client, name: str, *args: object, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def money_without_seat() -> Discrepancy:
    standing = make_ticket_type(1)
    reservation = reserved(standing)
    services.cancel(reservation=reservation, now=timezone.now())
    reserved(standing)
    services.complete_paid(payment=make_payment(str(reservation.uuid)), now=timezone.now())
    return Discrepancy.objects.get()


def test_the_overview_shows_events_and_open_cases(staff: Client) -> None:
    assert "No events yet" in page(staff, "reservations:overview")

    standing = make_ticket_type(20, event=make_event("gala", name="Summer gala"), name="Standing")
    reserved(standing, 3)
    shown = page(staff, "reservations:overview")
    for expected in (
        "Summer gala",
        "Standing",
        "25.00 EUR",
        "No open cases, and the ticket counters match",
    ):
        assert expected in shown

    money_without_seat()
    assert "The payment and the seats of" in page(staff, "reservations:overview")


def test_events_without_a_start_come_last_in_lists(staff: Client) -> None:
    now = timezone.now()
    for slug, starts_at in [
        ("undated", None),
        ("later", now + timedelta(days=2)),
        ("sooner", now + timedelta(days=1)),
    ]:
        make_ticket_type(event=make_event(slug, starts_at=starts_at))

    overview = staff.get(reverse("reservations:overview")).context["events"]
    available = json.loads(availability_json("", now=now))["events"]
    listed = staff.get("/admin/reservations/event/").context["cl"].result_list
    found = staff.get("/api/v1/search/", {"q": "e"}).json()["groups"]

    assert [event.slug for event, _ in overview] == ["sooner", "later", "undated"]
    assert [event["event"] for event in available] == ["sooner", "later", "undated"]
    assert [event.slug for event in listed] == ["later", "sooner", "undated"]
    [hits] = [group["hits"] for group in found if group["title"] == "Events"]
    assert [hit["title"] for hit in hits] == ["Later", "Sooner", "Undated"]


@pytest.mark.parametrize("range_", ["24h", "7d", "30d", "nonsense"])
def test_an_events_page_charts_holds_sales_and_expiries(staff: Client, range_: str) -> None:
    standing = make_ticket_type(20, event=make_event("gala"), price=0)
    services.complete(reservation=reserved(standing, 3), now=timezone.now())
    reserved(standing, 2)

    shown = page(staff, "reservations:event-page", "gala", range=range_)

    for expected in ("reserved", "sold", "expired", "sells out"):
        assert expected in shown.lower()


def test_the_chart_counts_seats_by_slot() -> None:
    from reservations.queries.history import build_event_chart

    event = make_event("gala")
    standing = make_ticket_type(20, event=event, price=0)
    services.complete(reservation=reserved(standing, 3), now=timezone.now())
    lost = reserved(standing, 2)
    Reservation.objects.filter(pk=lost.pk).update(expires_at=timezone.now())
    services.release_expired(now=timezone.now())

    now = timezone.now()
    for back in (timedelta(hours=24), timedelta(days=30)):
        chart = build_event_chart(event, since=now - back, now=now)
        assert [sum(series.values) for series in chart.series] == [5, 3, 2]  # type: ignore[arg-type]
        assert [series.values[-1] for series in chart.series] == [5, 3, 2]


def test_a_case_can_be_refunded_or_resolved_in_the_inbox(staff: Client) -> None:
    assert "No open cases" in page(staff, "reservations:inbox")
    case = money_without_seat()

    shown = page(staff, "reservations:inbox")
    assert reverse("payments:payment-refund", args=[case.payment.uuid]) in shown
    staff.post(reverse("reservations:settle", args=[case.pk]), {"settlement": "seat found"})

    case.refresh_from_db()
    assert (case.settlement, case.settled_by) == ("seat found", User.objects.get())
    assert "seat found" in page(staff, "reservations:inbox")
    assert LogEntry.objects.get().get_change_message() == "resolved: seat found"


def test_seats_of_a_refunded_payment_can_be_released(staff: Client) -> None:
    standing = make_ticket_type(5)
    reservation = reserved(standing, 2)
    payment = make_payment(str(reservation.uuid))
    services.complete_paid(payment=payment, now=timezone.now())
    services.handle_refund(payment=payment, now=timezone.now())
    case = Discrepancy.objects.get()

    staff.post(reverse("reservations:settle", args=[case.pk]), {"seats": "back"})

    standing.refresh_from_db()
    reservation.refresh_from_db()
    assert (standing.sold, reservation.status) == (0, Status.REFUNDED)


def test_staff_can_extend_and_release_a_reservation(staff: Client) -> None:
    standing = make_ticket_type(5)
    reservation = reserved(standing, 2)
    shown = page(staff, "reservations:reservation-page", reservation.uuid)
    assert "Extend to 15 min from now" in shown

    staff.post(reverse("reservations:reservation-prolong", args=[reservation.uuid]))
    staff.post(reverse("reservations:reservation-release", args=[reservation.uuid]))

    reservation.refresh_from_db()
    standing.refresh_from_db()
    assert (reservation.extensions, reservation.status, standing.held) == (1, "cancelled", 0)
    shown = page(staff, "reservations:reservation-page", reservation.uuid)
    assert "Extend to 15 min from now" not in shown
    messages = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert messages == ["extended", "released"]


@pytest.mark.parametrize("name", ["event", "reservation", "discrepancy", "cleanup", "waitingentry"])
def test_every_list_can_be_opened(staff: Client, name: str) -> None:
    money_without_seat()
    services.release_expired(now=timezone.now())

    assert staff.get(reverse(f"admin:reservations_{name}_changelist")).status_code == 200


def test_a_reservation_is_found_by_the_buyers_email_address(staff: Client) -> None:
    standing = make_ticket_type(5)
    reserved(standing, order_id="o-55", customer=customer_reference("ann@example.org"))
    reserved(standing, order_id="o-66")

    address = reverse("admin:reservations_reservation_changelist")
    shown = staff.get(address, {"q": "Ann@example.org"}).content.decode()
    assert "o-55" in shown
    assert "o-66" not in shown


def test_waiting_customers_are_listed_and_found_by_their_email_address(staff: Client) -> None:
    seat = make_ticket_type(0, has_waiting_list=True, event=make_event("gala"))
    make_ticket_type(0, has_waiting_list=True)
    for address, order in (("ann@example.org", "o-55"), ("ben@example.org", "o-66")):
        services.join(
            app=make_app(),
            ticket_type=seat.pk,
            quantity=1,
            customer=customer_reference(address),
            order_id=order,
            now=timezone.now(),
        )

    shown = page(staff, "reservations:event-page", "gala")
    [address] = re.findall(r'href="([^"]*waitingentry[^"]*)"', shown)
    waiting = staff.get(html.unescape(address)).content.decode()
    found = page(staff, "admin:reservations_waitingentry_changelist", q="Ann@example.org")

    assert "2 waiting</a>" in shown
    assert customer_reference("ben@example.org") in waiting
    assert customer_reference("ann@example.org") in found
    assert customer_reference("ben@example.org") not in found


def test_capacity_cannot_go_below_held_and_sold_tickets(staff: Client) -> None:
    standing = make_ticket_type(5, event=make_event("gala"))
    reserved(standing, 3)
    event = Event.objects.get()
    form = {
        "name": "Gala",
        "slug": "gala",
        "hold_minutes": "15",
        "is_on_sale": "on",
        "ticket_types-TOTAL_FORMS": "1",
        "ticket_types-INITIAL_FORMS": "1",
        "ticket_types-0-id": str(standing.pk),
        "ticket_types-0-event": str(event.pk),
        "ticket_types-0-name": standing.name,
        "ticket_types-0-capacity": "2",
        "ticket_types-0-price": "100",
        "ticket_types-0-currency": "eur",
        "ticket_types-0-offer_minutes": "30",
        "max_outage_minutes": "60",
    }
    address = reverse("admin:reservations_event_change", args=[event.pk])

    refused = staff.post(address, form)
    assert "3 tickets are already held or sold" in refused.content.decode()
    assert staff.post(address, {**form, "ticket_types-0-capacity": "3"}).status_code == 302
    standing.refresh_from_db()
    assert (standing.capacity, standing.held, standing.currency) == (3, 3, "EUR")


def test_a_read_only_user_cannot_release() -> None:
    ensure_roles()
    user = User.objects.create_user("bob", is_staff=True)
    user.groups.add(Group.objects.get(name=Role.READ_ONLY))
    client = Client()
    client.force_login(user)
    reservation = reserved(make_ticket_type(5))

    address = reverse("reservations:reservation-release", args=[reservation.uuid])
    assert address not in page(client, "reservations:reservation-page", reservation.uuid)
    assert client.post(address).status_code == 403
