"""Test that reservations can be extended, cancelled and completed, and that they expire."""

from datetime import UTC, datetime, timedelta

import pytest

from reservations import services
from reservations.models import Cleanup, Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_event, make_ticket_type, wanted

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def reserved(type_: TicketType, quantity: int = 1, now: datetime = NOON) -> Reservation:
    return services.reserve(app=make_app(), wanted=wanted((type_, quantity)), now=now).reservation


def counters(type_: TicketType) -> tuple[int, int]:
    type_.refresh_from_db()
    return type_.held, type_.sold


def test_an_extension_leaves_15_minutes_from_now() -> None:
    reservation = reserved(make_ticket_type())

    services.extend(reservation=reservation, now=NOON + minutes(10))

    assert reservation.expires_at == NOON + minutes(25)


def test_an_extension_never_shortens_a_hold() -> None:
    reservation = reserved(make_ticket_type(event=make_event(hold_minutes=60)))

    services.extend(reservation=reservation, now=NOON)

    assert reservation.expires_at == NOON + minutes(60)


def test_a_fifth_extension_is_rejected_and_does_not_change_the_end() -> None:
    reservation = reserved(make_ticket_type())
    for number in range(1, 5):
        services.extend(reservation=reservation, now=NOON + minutes(10 * number))
    end = reservation.expires_at

    with pytest.raises(services.CannotChange) as refusal:
        services.extend(reservation=reservation, now=NOON + minutes(41))
    assert refusal.value.reason == "limit"
    reservation.refresh_from_db()
    assert (reservation.expires_at, reservation.extensions) == (end, 4)


def test_an_expired_hold_cannot_be_extended_even_before_the_clean_up() -> None:
    reservation = reserved(make_ticket_type())

    with pytest.raises(services.CannotChange) as refusal:
        services.extend(reservation=reservation, now=NOON + minutes(15))
    assert refusal.value.reason == "expired"


def test_a_cancelled_hold_frees_its_tickets_once() -> None:
    standing = make_ticket_type()
    reservation = reserved(standing, 3)

    for _ in range(2):
        services.cancel(reservation=reservation, now=NOON)

    assert reservation.status == Status.CANCELLED
    assert counters(standing) == (0, 0)


def test_a_completed_reservation_cannot_be_cancelled() -> None:
    standing = make_ticket_type(price=0)
    reservation = reserved(standing, 3)
    services.complete(reservation=reservation, now=NOON)

    with pytest.raises(services.CannotChange):
        services.cancel(reservation=reservation, now=NOON)
    assert counters(standing) == (0, 3)


def test_the_clean_up_releases_expired_holds_and_records_the_run() -> None:
    standing = make_ticket_type()
    reserved(standing, 3)
    reserved(standing, 2, now=NOON + minutes(1))

    released = services.release_expired(now=NOON + minutes(15))

    assert (released.reservation_count, released.seat_count) == (1, 3)
    assert counters(standing) == (2, 0)
    cleanup = Cleanup.objects.get()
    assert (cleanup.at, cleanup.reservation_count, cleanup.seat_count) == (NOON + minutes(15), 1, 3)


def test_the_clean_up_processes_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reservations.services.release.CHUNK_SIZE", 2)
    standing = make_ticket_type()
    for _ in range(5):
        reserved(standing)

    assert services.release_expired(now=NOON + minutes(20)).reservation_count == 5
    assert counters(standing) == (0, 0)


def test_one_run_after_an_hour_without_a_worker_releases_all_old_holds() -> None:
    standing = make_ticket_type(100)
    for minute in range(60):
        reserved(standing, now=NOON + minutes(minute))

    now = NOON + minutes(60)
    services.release_expired(now=now)

    assert not Reservation.objects.active().filter(created_at__lt=now - minutes(20)).exists()
    assert counters(standing) == (Reservation.objects.active().count(), 0)


def test_free_tickets_can_be_completed_without_a_payment() -> None:
    standing = make_ticket_type(price=0)
    reservation = reserved(standing, 2)

    for _ in range(2):
        services.complete(reservation=reservation, now=NOON + minutes(1))

    assert (reservation.status, reservation.ended_at) == (Status.COMPLETED, NOON + minutes(1))
    assert counters(standing) == (0, 2)


def test_tickets_with_a_price_require_a_payment_or_the_mark_paid_elsewhere() -> None:
    standing = make_ticket_type(price=2500)
    reservation = reserved(standing)

    with pytest.raises(services.CannotChange) as refusal:
        services.complete(reservation=reservation, now=NOON)
    assert refusal.value.reason == "payment-missing"

    services.complete(reservation=reservation, paid_elsewhere="cash desk 3", now=NOON)
    assert (reservation.status, reservation.paid_elsewhere) == (Status.COMPLETED, "cash desk 3")


def test_an_expired_hold_can_be_completed_until_it_is_released() -> None:
    standing = make_ticket_type(price=0)
    reservation = reserved(standing)

    services.complete(reservation=reservation, now=NOON + minutes(17))

    assert counters(standing) == (0, 1)


def test_a_released_hold_cannot_be_completed() -> None:
    standing = make_ticket_type(price=0)
    reservation = reserved(standing)
    services.release_expired(now=NOON + minutes(15))

    with pytest.raises(services.CannotChange) as refusal:
        services.complete(reservation=reservation, now=NOON + minutes(16))
    assert refusal.value.reason == "expired"
    assert counters(standing) == (0, 0)


def test_availability_counts_expired_holds_as_free() -> None:
    standing = make_ticket_type(10, price=0)
    reserved(standing, 3)
    services.complete(reservation=reserved(standing, 2), now=NOON)

    types = TicketType.objects.filter(pk=standing.pk)
    assert types.available(NOON) == {standing.pk: 5}
    assert types.available(NOON + minutes(15)) == {standing.pk: 8}


def test_drift_of_the_counters_is_detected() -> None:
    standing, seated = make_ticket_type(), make_ticket_type(price=0)
    reserved(standing, 2)
    services.complete(reservation=reserved(seated, 1), now=NOON)
    assert find_drift() == []

    TicketType.objects.filter(pk=standing.pk).update(held=3)

    [drift] = find_drift()
    assert (drift.ticket_type, drift.held, drift.sold) == (standing, 2, 0)
