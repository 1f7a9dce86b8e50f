"""Test that tickets stay held while a payment is processing, such as a bank debit, which takes days."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from pytest_django import Settings

from alerts import services as alerts
from alerts.models import SystemAlert
from payments.models import Payment
from reservations import services
from reservations.models import Discrepancy, Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from reservations.queries.stats import collect_stats
from reservations.views.api import as_json
from tests.factories import make_app, make_event, make_payment, make_ticket_type, wanted
from tests.payments.test_process import news, take_in

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
pytestmark = pytest.mark.django_db


def held(type_: TicketType) -> tuple[Reservation, Payment]:
    """Reserve one ticket at noon. Return the reservation and its payment, which the buyer has not confirmed."""
    made = services.reserve(app=make_app(), wanted=wanted((type_, 1)), now=NOON)
    payment = make_payment(
        str(made.reservation.uuid),
        status="requires_payment_method",
        status_at=NOON - MINUTE,
        now=NOON,
    )
    return made.reservation, payment


def report(payment: Payment, status: str, at: datetime) -> None:
    """Process an event in which Stripe reports `status` for the payment at the time `at`."""
    take_in(news(payment, status, at=int(at.timestamp())), now=at)


def reserve_again(type_: TicketType, now: datetime) -> None:
    services.reserve(app=make_app(), wanted=wanted((type_, 1)), now=now)


def test_the_seat_is_not_resold_while_a_bank_debit_is_processing() -> None:
    seat = make_ticket_type(1)
    reservation, payment = held(seat)

    report(payment, "processing", NOON + MINUTE)
    services.release_expired(now=NOON + 20 * DAY)

    with pytest.raises(services.SoldOut):
        reserve_again(seat, NOON + 20 * DAY)
    reservation.refresh_from_db()
    assert reservation.status == Status.ACTIVE
    assert reservation.expires_at == NOON + MINUTE + 21 * DAY


@pytest.mark.parametrize(
    "money", [{"amount_received": 1000}, {"purpose": "part", "amount": 1000}, {"purpose": "fee"}]
)
def test_a_hold_leaves_processing_when_the_money_does_not_book_the_seats(
    money: dict[str, object],
) -> None:
    """Test that a hold leaves the state "payment processing", in which apps cannot cancel it."""
    reservation, payment = held(make_ticket_type(1, price=2500))
    report(payment, "requires_capture", NOON + MINUTE)

    fields = {"status": "succeeded", "amount_received": 1000, "amount": 2500, **money}
    Payment.objects.filter(pk=payment.pk).update(**fields)
    services.complete_paid(payment=Payment.objects.get(pk=payment.pk), now=NOON + DAY)

    reservation.refresh_from_db()
    assert (reservation.status, reservation.processing_payment) == (Status.ACTIVE, None)
    assert reservation.expires_at == NOON + DAY + 15 * MINUTE
    assert collect_stats(now=NOON + DAY).processing == 0
    services.cancel(reservation=reservation, now=NOON + DAY)


def test_the_reservation_is_booked_when_the_debit_succeeds() -> None:
    seat = make_ticket_type(1)
    reservation, payment = held(seat)
    report(payment, "processing", NOON + MINUTE)

    report(payment, "succeeded", NOON + 6 * DAY)

    reservation.refresh_from_db()
    assert (reservation.status, reservation.processing_payment) == (Status.COMPLETED, None)
    assert not Discrepancy.objects.exists()


@pytest.mark.parametrize("end", ["requires_payment_method", "canceled"])
def test_a_failed_debit_raises_an_alert_and_frees_the_seat_after_15_minutes(end: str) -> None:
    seat = make_ticket_type(1)
    reservation, payment = held(seat)
    report(payment, "processing", NOON + MINUTE)

    failed_at = NOON + 6 * DAY
    report(payment, end, failed_at)
    alerts.evaluate_rule("payments.failed_debits", now=failed_at + MINUTE)

    [alert] = SystemAlert.objects.active()
    assert alert.alert_type == "debit-failed"
    assert "25.00 EUR" in alert.title
    reservation.refresh_from_db()
    assert (reservation.expires_at, reservation.processing_payment) == (
        failed_at + 15 * MINUTE,
        None,
    )
    reserve_again(seat, failed_at + 16 * MINUTE)


def test_the_alert_about_a_failed_debit_ends() -> None:
    _reservation, payment = held(make_ticket_type(1))
    report(payment, "processing", NOON)
    report(payment, "requires_payment_method", NOON + 6 * DAY)
    alerts.evaluate_rule("payments.failed_debits", now=NOON + 6 * DAY)

    for minute in range(6):
        alerts.evaluate_rule("payments.failed_debits", now=NOON + 7 * DAY + minute * MINUTE)

    assert SystemAlert.objects.get().state == "resolved"


def test_a_card_that_is_declined_within_seconds_raises_no_alert() -> None:
    reservation, payment = held(make_ticket_type(1))
    report(payment, "processing", NOON)

    report(payment, "requires_payment_method", NOON + timedelta(seconds=20))

    payment.refresh_from_db()
    reservation.refresh_from_db()
    assert payment.debit_failed_at is None
    assert reservation.expires_at == NOON + 15 * MINUTE + timedelta(seconds=20)


def test_the_end_of_a_payment_that_was_never_processing_leaves_the_hold_unchanged() -> None:
    reservation, payment = held(make_ticket_type(1, event=make_event(hold_minutes=60)))
    until = reservation.expires_at

    report(payment, "canceled", NOON + MINUTE)

    reservation.refresh_from_db()
    assert (reservation.status, reservation.expires_at) == (Status.ACTIVE, until)


def test_the_hold_ends_at_the_limit_with_an_alert(settings: Settings) -> None:
    settings.PROCESSING_HOLD_DAYS = 5
    seat = make_ticket_type(1)
    _reservation, payment = held(seat)
    report(payment, "processing", NOON)

    late = NOON + 5 * DAY + MINUTE
    services.release_expired(now=late)
    alerts.evaluate_rule("reservations.processing_too_long", now=late)
    assert [alert.alert_type for alert in SystemAlert.objects.active()] == ["processing-too-long"]

    reserve_again(seat, late + DAY)
    report(payment, "succeeded", late + DAY)  # Opens a separate case.
    assert [case.kind for case in Discrepancy.objects.open()] == ["sold_out"]
    for minute in range(6):
        now = late + DAY + minute * MINUTE
        alerts.evaluate_rule("reservations.processing_too_long", now=now)
    assert not SystemAlert.objects.active().filter(alert_type="processing-too-long").exists()


def test_a_payment_in_processing_renews_a_hold_that_has_just_expired() -> None:
    seat = make_ticket_type(1)
    reservation, payment = held(seat)
    services.release_expired(now=NOON + 16 * MINUTE)

    report(payment, "processing", NOON + 17 * MINUTE)

    reservation.refresh_from_db()
    assert (reservation.status, reservation.processing_payment) == (Status.ACTIVE, payment)
    with pytest.raises(services.SoldOut):
        reserve_again(seat, NOON + DAY)
    assert find_drift() == []


def test_a_hold_whose_seat_is_gone_stays_expired() -> None:
    seat = make_ticket_type(1)
    reservation, payment = held(seat)
    reserve_again(seat, NOON + 16 * MINUTE)

    report(payment, "processing", NOON + 17 * MINUTE)

    reservation.refresh_from_db()
    assert (reservation.status, reservation.processing_payment) == (Status.EXPIRED, None)


def test_a_reservation_cannot_be_cancelled_while_its_payment_is_processing() -> None:
    reservation, payment = held(make_ticket_type(1))
    report(payment, "processing", NOON)

    with pytest.raises(services.CannotChange) as refusal:
        services.cancel(reservation=reservation, now=NOON + DAY)
    assert refusal.value.reason == "payment-processing"


def test_processing_holds_are_shown_and_counted_separately() -> None:
    seat = make_ticket_type(5)
    reservation, payment = held(seat)
    report(payment, "processing", NOON)
    other = services.reserve(app=make_app(), wanted=wanted((seat, 2)), now=NOON + DAY).reservation

    stats = collect_stats(now=NOON + DAY)

    assert (stats.processing, stats.processing_seats) == (1, 1)
    assert stats.oldest_active_at == other.created_at
    reservation.refresh_from_db()
    shown = as_json(reservation, reservation.lines.all(), NOON + DAY)
    assert (shown["status"], shown["payment_processing"]) == ("active", True)
    assert as_json(other, other.lines.all(), NOON + DAY)["payment_processing"] is False


def test_the_hold_follows_another_debit_that_is_still_processing() -> None:
    reservation, payment = held(make_ticket_type(1))
    other = make_payment(
        str(reservation.uuid), status="requires_payment_method", status_at=NOON - MINUTE, now=NOON
    )
    report(payment, "processing", NOON + MINUTE)
    report(other, "processing", NOON + 2 * MINUTE)

    report(other, "canceled", NOON + DAY)

    reservation.refresh_from_db()
    assert reservation.processing_payment == payment
    assert reservation.expires_at > NOON + 20 * DAY


@pytest.mark.parametrize("order", list(permutations(["processing", "succeeded", "expire"])))
def test_shuffled_events_of_a_successful_debit_book_the_seat(order: tuple[str, ...]) -> None:
    reservation, payment = held(make_ticket_type(1))
    at = {"processing": NOON + MINUTE, "succeeded": NOON + 5 * DAY}

    for step in order:
        if step == "expire":
            services.release_expired(now=NOON + 16 * MINUTE)
        else:
            report(payment, step, at[step])

    reservation.refresh_from_db()
    assert (reservation.status, reservation.processing_payment) == (Status.COMPLETED, None)
    assert find_drift() == []
    assert not Discrepancy.objects.exists()
