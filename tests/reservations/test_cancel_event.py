"""Test that canceling an event releases all reservations and refunds all payments, even after an interruption."""

import uuid
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alerts.models import SystemAlert
from payments import services as payments
from payments.models import Payment, Refund
from reservations import services
from reservations.models import Cancellation, Discrepancy, Event, Reservation, Status, TicketType
from reservations.models.cancellations import Outcome
from reservations.queries.cancellation import collect_progress, forecast
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_event, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble
from tests.payments.support import make_intent, process

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    return make_event("night")


@pytest.fixture
def standing(event: Event) -> TicketType:
    return make_ticket_type(100, event=event)


@pytest.fixture
def owner() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def book(
    account: StripeAccount, *items: tuple[TicketType, int], is_paid: bool = True, **fields: Any
) -> Reservation:
    reservation = services.reserve(app=make_app(), wanted=wanted(*items, **fields), now=NOW)
    made = reservation.reservation
    payment = make_intent(account, str(made.uuid), amount=sum(2500 * n for _, n in items))
    if is_paid:
        process(account.pay(payment.intent_id or ""))
    made.refresh_from_db()
    return made


def cancel(event: Event) -> Cancellation:
    user, _ = User.objects.get_or_create(username="ann")
    return services.cancel_event(event=event, reason="storm", user=user, now=NOW)


def outcomes() -> list[str]:
    cancellation = Cancellation.objects.get()
    return list(cancellation.items.order_by("pk").values_list("outcome", flat=True))


def statuses() -> list[str]:
    return list(Reservation.objects.order_by("pk").values_list("status", flat=True))


def test_holds_and_bookings_are_released_and_payments_are_refunded(
    account: StripeAccount, event: Event, standing: TicketType
) -> None:
    book(account, (standing, 2))
    book(account, (standing, 1), is_paid=False)
    elsewhere = services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOW).reservation
    services.complete(reservation=elsewhere, paid_elsewhere="desk", now=NOW)
    planned = forecast(event)
    assert (planned.hold_count, planned.booking_count, planned.seat_count) == (1, 2, 4)
    assert planned.refundable == [("EUR", 5000)]

    cancellation = cancel(event)
    services.continue_cancellations(now=NOW)

    standing.refresh_from_db()
    assert outcomes() == [Outcome.REFUNDED, Outcome.RELEASED, Outcome.PAID_ELSEWHERE]
    assert statuses() == [Status.REFUNDED, Status.CANCELLED, Status.REFUNDED]
    assert (standing.held, standing.sold, find_drift()) == (0, 0, [])
    progress = collect_progress(cancellation)
    assert (progress.done, progress.total, progress.percent) == (3, 3, 100)
    assert progress.refunded == [("EUR", 5000)]
    assert not SystemAlert.objects.exists()
    assert not TicketType.objects.all().on_sale(NOW).exists()
    with pytest.raises(services.AlreadyCancelled):
        cancel(event)


def test_large_amounts_of_a_currency_with_small_units_fit(event: Event) -> None:
    # The price in IDR is worth about 1,600 EUR, but its minor units exceed a 32-bit integer.
    price = 30_000_000_00
    premium = make_ticket_type(10, event=event, price=price, currency="IDR")
    held = services.reserve(app=make_app(), wanted=wanted((premium, 2)), now=NOW).reservation
    services.complete(reservation=held, paid_elsewhere="desk", now=NOW)

    cancellation = cancel(event)
    services.continue_cancellations(now=NOW)

    assert cancellation.items.get().amount == 2 * price


def test_only_the_tickets_of_the_event_are_refunded_and_released(
    account: StripeAccount, event: Event, standing: TicketType
) -> None:
    other = make_ticket_type()
    reservation = book(account, (standing, 1), (other, 2))

    cancel(event)
    services.continue_cancellations(now=NOW)

    payment = Payment.objects.get(reservation_id=str(reservation.uuid))
    reservation.refresh_from_db()
    other.refresh_from_db()
    assert (payment.amount_refunded, reservation.status, other.sold) == (2500, Status.COMPLETED, 2)


def test_the_cancellation_continues_after_an_outage_and_refunds_each_payment_once(
    double: StripeDouble, account: StripeAccount, event: Event, standing: TicketType
) -> None:
    for _ in range(3):
        book(account, (standing, 1))
    double.faults.append(Fault("drop_after", path="/v1/refunds", times=2))

    cancellation = cancel(event)
    services.continue_cancellations(now=NOW)
    assert outcomes() == [Outcome.REQUESTED, Outcome.PENDING, Outcome.PENDING]
    assert collect_progress(cancellation).percent == 0
    for _ in range(2):
        services.continue_cancellations(now=NOW)

    assert outcomes() == [Outcome.REFUNDED] * 3
    assert len(account.refunds) == 3
    assert Cancellation.objects.get().finished_at


def test_a_partial_refund_unanswered_for_24_hours_is_adopted_and_not_made_twice(
    double: StripeDouble, account: StripeAccount, event: Event, standing: TicketType
) -> None:
    reservation = book(account, (standing, 1), (make_ticket_type(), 2))
    double.faults.append(Fault("drop_after", path="/v1/refunds", times=2))
    cancel(event)
    services.continue_cancellations(now=NOW)
    assert outcomes() == [Outcome.REQUESTED]
    sent = double.calls["POST /v1/refunds"]
    double.keys.clear()  # Stripe removes idempotency keys after 24 hours.

    services.continue_cancellations(now=NOW + timedelta(hours=24))

    payment = Payment.objects.get(reservation_id=str(reservation.uuid))
    assert (outcomes(), payment.amount_refunded) == ([Outcome.REFUNDED], 2500)
    assert (len(account.refunds), double.calls["POST /v1/refunds"]) == (1, sent)
    assert not SystemAlert.objects.active().exists()


def test_a_refund_unanswered_for_24_hours_fails_if_stripe_never_got_it(
    double: StripeDouble, account: StripeAccount, event: Event, standing: TicketType
) -> None:
    book(account, (standing, 1))
    double.faults.append(Fault("drop_before", path="/v1/refunds", times=2))
    cancellation = cancel(event)
    services.continue_cancellations(now=NOW)
    assert outcomes() == [Outcome.REQUESTED]
    sent = double.calls["POST /v1/refunds"]

    services.continue_cancellations(now=NOW + timedelta(hours=24))

    item = cancellation.items.get()
    assert (item.outcome, item.detail) == (Outcome.FAILED, "Stripe never received the request")
    assert (len(account.refunds), double.calls["POST /v1/refunds"]) == (0, sent)
    assert SystemAlert.objects.active().get().alert_type == "payment-mismatch"


def test_a_failed_refund_is_reported_and_can_be_tried_again(
    double: StripeDouble,
    account: StripeAccount,
    owner: Client,
    event: Event,
    standing: TicketType,
) -> None:
    book(account, (standing, 1))
    double.faults.append(Fault("status", 400, path="/v1/refunds"))
    cancel(event)
    services.continue_cancellations(now=NOW)
    assert outcomes() == [Outcome.FAILED]
    assert SystemAlert.objects.active().get().alert_type == "payment-mismatch"

    owner.post(reverse("reservations:cancellation-retry", args=["night"]))
    services.continue_cancellations(now=NOW)

    assert outcomes() == [Outcome.REFUNDED]
    assert Refund.objects.count() == 2
    assert not SystemAlert.objects.active().exists()


def test_a_payment_that_succeeds_after_the_cancellation_gets_no_seats_and_is_refunded(
    account: StripeAccount, event: Event, standing: TicketType
) -> None:
    reservation = book(account, (standing, 1), is_paid=False)
    cancel(event)
    services.continue_cancellations(now=NOW)
    payment = Payment.objects.get(reservation_id=str(reservation.uuid))

    process(account.pay(payment.intent_id or ""))
    assert Discrepancy.objects.open().get().kind == Discrepancy.Kind.SOLD_OUT
    services.continue_cancellations(now=NOW)

    payment.refresh_from_db()
    assert (payment.amount_refunded, statuses()) == (2500, [Status.REFUNDED])
    assert not Discrepancy.objects.open().exists()
    assert outcomes() == [Outcome.REFUNDED]


def test_the_cancellation_must_be_confirmed_with_the_name_of_the_event(
    account: StripeAccount, owner: Client, event: Event, standing: TicketType
) -> None:
    book(account, (standing, 2))
    address = reverse("reservations:event-cancel", args=["night"])
    assert "50.00 EUR" in owner.get(address).content.decode()

    wrong = owner.post(address, {"reason": "storm", "confirmation": "day"})
    assert (wrong.status_code, Cancellation.objects.count()) == (400, 0)
    assert owner.post(address, {"reason": "storm", "confirmation": "night"}).status_code == 302

    page = reverse("reservations:cancellation", args=["night"])
    shown = " ".join(owner.get(page).content.decode().split())
    assert "0 of 1 reservation is finished" in shown
    services.continue_cancellations(now=NOW)
    part = " ".join(owner.get(page, headers={"HX-Request": "true"}).content.decode().split())
    assert ("1 of 1 reservation is finished" in part, "hx-get" in part) == (True, False)
    assert (
        "Cancellation report"
        in owner.get(reverse("reservations:event-page", args=["night"])).content.decode()
    )


def test_staff_without_the_permission_cannot_cancel_an_event(event: Event) -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob", is_staff=True))

    for name in ("event-cancel", "cancellation-retry"):
        assert client.post(reverse(f"reservations:{name}", args=["night"])).status_code == 403


def test_free_tickets_are_released_without_a_refund(event: Event) -> None:
    free = make_ticket_type(10, price=0, event=event)
    held = services.reserve(app=make_app(), wanted=wanted((free, 2)), now=NOW).reservation
    services.complete(reservation=held, now=NOW)

    cancel(event)
    assert services.continue_cancellations(now=NOW) == 1

    free.refresh_from_db()
    assert outcomes() == [Outcome.RELEASED]
    assert (free.sold, Refund.objects.count()) == (0, 0)


def test_tickets_that_staff_refunded_but_kept_are_released_without_a_second_refund(
    double: StripeDouble, account: StripeAccount, event: Event, standing: TicketType
) -> None:
    reservation = book(account, (standing, 2))
    payment = Payment.objects.get(reservation_id=str(reservation.uuid))
    payments.refund(
        payment=payment,
        new_refund=payments.NewRefund(amount=5000, reason="kind", seats=Refund.Seats.KEEP),
        form=uuid.uuid4(),
        user=User.objects.create(username="bob"),
        now=NOW,
    )

    cancel(event)
    services.continue_cancellations(now=NOW)

    standing.refresh_from_db()
    assert standing.sold == 0
    assert double.calls["POST /v1/refunds"] == 1
    assert Outcome.FAILED not in outcomes()


def test_the_cancellation_stops_at_its_time_limit_and_continues_in_the_next_run(
    account: StripeAccount,
    event: Event,
    standing: TicketType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):
        book(account, (standing, 1), is_paid=False)
    cancel(event)

    with monkeypatch.context() as patch:
        patch.setattr(import_module("reservations.services.cancel_event"), "MAX_SECONDS", -1)
        assert services.continue_cancellations(now=NOW) == 0
    assert outcomes() == [Outcome.PENDING, Outcome.PENDING]

    assert services.continue_cancellations(now=NOW) == 2
    assert outcomes() == [Outcome.RELEASED, Outcome.RELEASED]


def test_a_refund_that_the_portal_refuses_is_reported_with_its_reason(
    account: StripeAccount,
    event: Event,
    standing: TicketType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book(account, (standing, 1))

    def refuse(**given: Any) -> Refund:
        raise payments.CannotRefund("the amount exceeds what is left to refund")

    cancellation = cancel(event)
    with monkeypatch.context() as patch:
        patch.setattr(payments, "refund", refuse)
        services.continue_cancellations(now=NOW)

    item = cancellation.items.get()
    assert item.outcome == Outcome.FAILED
    assert item.detail == "the amount exceeds what is left to refund"

    assert services.retry_failed(cancellation) == 1
    services.continue_cancellations(now=NOW)
    assert outcomes() == [Outcome.REFUNDED]
