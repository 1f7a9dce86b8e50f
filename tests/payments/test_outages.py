"""Test that an event can extend its holds during an outage in which buyers cannot pay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.lib.outbound import breaker
from payments.models import ProviderOutage
from payments.services.outages import check_provider
from reservations import services
from reservations.models import HoldExtension, Reservation, TicketType
from reservations.services import outages
from reservations.services.outages import EXTENSION_LENGTH
from tests.factories import make_app, make_event, make_payment, make_ticket_type, wanted
from tests.payments.stripe_double import Fault, StripeDouble

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def hold(type_: TicketType, quantity: int = 1, *, now: datetime) -> Reservation:
    return services.reserve(app=make_app(), wanted=wanted((type_, quantity)), now=now).reservation


def opted_in(capacity: int = 10, **fields: Any) -> TicketType:
    event = make_event(extends_holds_in_outages=True, hold_minutes=15, **fields)
    return make_ticket_type(capacity, event=event)


def fail(double: StripeDouble) -> None:
    double.faults = [Fault("status", 503, path="/v1/", writes=False, times=10_000)]


def run_minutes(first: int, last: int) -> None:
    """Run the outage job every minute and the release of expired holds every five minutes, as the worker does."""
    for minute in range(first, last):
        breaker.reset_all()  # Close the circuit breaker, whose pauses elapse in real time.
        services.extend_during_outage(now=NOON + minute * MINUTE)
        if minute % 5 == 0:
            services.release_expired(now=NOON + minute * MINUTE)


def test_no_hold_of_an_event_with_the_option_expires_during_an_outage(stripe: StripeDouble) -> None:
    kept_type, other_type = opted_in(), make_ticket_type(10, event=make_event(hold_minutes=15))
    # The first hold expires just before the outage is detected, between two runs of the job.
    kept = [hold(kept_type, now=NOON - age * MINUTE) for age in (15, 14, 10, 1)]
    Reservation.objects.filter(pk=kept[0].pk).update(expires_at=NOON + timedelta(seconds=20))
    other = hold(other_type, now=NOON - 10 * MINUTE)

    fail(stripe)
    run_minutes(1, 21)

    for reservation in kept:
        reservation.refresh_from_db()
        assert reservation.is_live(NOON + 20 * MINUTE)
    other.refresh_from_db()
    assert other.status == "expired"
    kept_type.refresh_from_db()
    assert (kept_type.held, kept_type.sold) == (4, 0)

    stripe.faults = []
    run_minutes(21, 21 + 16)

    assert set(Reservation.objects.values_list("status", flat=True)) == {"expired"}
    kept_type.refresh_from_db()
    assert kept_type.held == 0
    outage = ProviderOutage.objects.get()
    assert (outage.started_at, outage.ended_at) == (NOON - MINUTE, NOON + 21 * MINUTE)


def test_the_shortest_limit_of_an_order_for_several_events_applies(stripe: StripeDouble) -> None:
    types = [opted_in(max_outage_minutes=minutes) for minutes in (30, 5)]
    made = services.reserve(
        app=make_app(), wanted=wanted(*((type_, 1) for type_ in types)), now=NOON
    ).reservation
    planned_end = made.expires_at

    fail(stripe)
    run_minutes(1, 30)

    assert HoldExtension.objects.latest("pk").ends_at == planned_end + 5 * MINUTE


def test_a_sold_out_event_is_not_oversold_during_and_after_an_outage(stripe: StripeDouble) -> None:
    type_ = opted_in(capacity=3)
    kept = [hold(type_, now=NOON - age * MINUTE) for age in (14, 9, 2)]

    def refused(at: datetime) -> bool:
        try:
            hold(type_, now=at)
        except services.SoldOut:
            return True
        return False

    fail(stripe)
    for minute in range(1, 21):
        run_minutes(minute, minute + 1)
        assert refused(NOON + minute * MINUTE + timedelta(seconds=30))
    stripe.faults = []
    run_minutes(21, 21 + 16)

    assert {Reservation.objects.get(pk=one.pk).status for one in kept} == {"expired"}
    later = NOON + 37 * MINUTE
    assert [refused(later) for _ in range(4)] == [False, False, False, True]
    type_.refresh_from_db()
    assert (type_.held, type_.sold) == (3, 0)


def test_each_extension_is_logged_and_leaves_time_to_pay(stripe: StripeDouble) -> None:
    reservation = hold(opted_in(), now=NOON - 11 * MINUTE)
    planned_end = reservation.expires_at
    fail(stripe)

    services.extend_during_outage(now=NOON)

    extension = HoldExtension.objects.get()
    assert (extension.ended_before, extension.ends_at) == (planned_end, NOON + EXTENSION_LENGTH)
    reservation.refresh_from_db()
    assert (reservation.expires_at, reservation.extensions) == (extension.ends_at, 0)


def test_a_hold_is_extended_at_most_to_the_limit_of_its_event(stripe: StripeDouble) -> None:
    reservation = hold(opted_in(max_outage_minutes=12), now=NOON - 15 * MINUTE)
    fail(stripe)

    run_minutes(0, 12)
    reservation.refresh_from_db()
    assert reservation.expires_at == NOON + 12 * MINUTE

    run_minutes(12, 18)
    reservation.refresh_from_db()
    assert reservation.status == "expired"


def test_nothing_is_extended_while_the_provider_responds(stripe: StripeDouble) -> None:
    hold(opted_in(), now=NOON - 14 * MINUTE)

    assert services.extend_during_outage(now=NOON) == 0
    assert not ProviderOutage.objects.exists()


def test_seats_that_another_buyer_has_taken_are_not_taken_back(stripe: StripeDouble) -> None:
    type_ = opted_in(capacity=1)
    late = hold(type_, now=NOON - 15 * MINUTE)
    winner = hold(type_, now=NOON + timedelta(seconds=10))
    fail(stripe)

    services.extend_during_outage(now=NOON + MINUTE)

    late.refresh_from_db()
    winner.refresh_from_db()
    type_.refresh_from_db()
    assert (late.status, winner.status, type_.held) == ("expired", "active", 1)


def test_events_without_the_option_cause_no_call_to_the_provider(stripe: StripeDouble) -> None:
    hold(make_ticket_type(10), now=NOON - 14 * MINUTE)
    fail(stripe)

    assert services.extend_during_outage(now=NOON) == 0
    assert not stripe.calls


def test_without_a_stripe_key_there_is_no_outage(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""

    assert check_provider(now=NOON) is None
    assert not ProviderOutage.objects.exists()


def test_payments_without_a_response_are_an_outage_until_one_succeeds(
    stripe: StripeDouble,
) -> None:
    make_payment(
        state="started", status="asked", intent_id=None, now=NOON, error="no response from Stripe"
    )

    outage = check_provider(now=NOON + MINUTE)
    assert outage is not None
    assert outage.reason == "no response from Stripe"

    make_payment(now=NOON + MINUTE, finished_at=NOON + 2 * MINUTE)
    assert check_provider(now=NOON + 3 * MINUTE) is None
    outage.refresh_from_db()
    assert outage.ended_at == NOON + 3 * MINUTE


def test_a_hold_that_has_ended_meanwhile_is_not_extended() -> None:
    reservation = hold(opted_in(), now=NOON)
    outage = ProviderOutage.objects.create(started_at=NOON, last_seen_at=NOON, reason="down")
    services.cancel(reservation=reservation, now=NOON)

    assert not outages._extend(reservation.pk, outage, NOON + MINUTE)
    assert not HoldExtension.objects.exists()
