import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from reservations import services
from reservations.models import Reservation, Status, TicketType
from reservations.queries.availability import availability_json
from reservations.queries.stock import list_stock
from tests.factories import make_app, make_event, make_ticket_type, wanted

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def counters(*types: TicketType) -> list[tuple[int, int]]:
    for type_ in types:
        type_.refresh_from_db()
    return [(type_.held, type_.sold) for type_ in types]


def test_a_reservation_holds_its_tickets_for_15_minutes() -> None:
    standing = make_ticket_type(10, price=2500)

    made = services.reserve(app=make_app(), wanted=wanted((standing, 2), order_id="o-1"), now=NOON)

    assert made.is_new
    reservation = Reservation.objects.get()
    assert (reservation.status, reservation.order_id) == (Status.ACTIVE, "o-1")
    assert reservation.expires_at == NOON + timedelta(minutes=15)
    assert [(line.quantity, line.price) for line in reservation.lines.all()] == [(2, 2500)]
    assert counters(standing) == [(2, 0)]


def test_an_event_determines_how_long_its_holds_last() -> None:
    standing = make_ticket_type(event=make_event(hold_minutes=5))

    made = services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOON)

    assert made.reservation.expires_at == NOON + timedelta(minutes=5)


def test_several_types_are_reserved_together_or_not_at_all() -> None:
    event = make_event()
    standing, seated = make_ticket_type(10, event=event), make_ticket_type(1, event=event)
    app = make_app()

    with pytest.raises(services.SoldOut) as refusal:
        services.reserve(app=app, wanted=wanted((standing, 2), (seated, 2)), now=NOON)
    assert (refusal.value.ticket_type, refusal.value.left) == (seated, 1)
    assert counters(standing, seated) == [(0, 0), (0, 0)]
    assert not Reservation.objects.exists()

    services.reserve(app=app, wanted=wanted((standing, 2), (seated, 1)), now=NOON)
    assert counters(standing, seated) == [(2, 0), (1, 0)]


def test_a_repeat_returns_the_first_reservation() -> None:
    standing, app = make_ticket_type(10), make_app()

    first = services.reserve(app=app, wanted=wanted((standing, 2), key="k"), now=NOON)
    again = services.reserve(app=app, wanted=wanted((standing, 2), key="k"), now=NOON)

    assert (again.is_new, again.reservation.uuid) == (False, first.reservation.uuid)
    assert counters(standing) == [(2, 0)]


def test_a_repeat_gets_its_reservation_even_when_the_type_is_sold_out_and_off_sale() -> None:
    standing, app = make_ticket_type(2), make_app()
    first = services.reserve(app=app, wanted=wanted((standing, 2), key="k"), now=NOON)
    TicketType.objects.update(sale_ends_at=NOON)

    again = services.reserve(app=app, wanted=wanted((standing, 2), key="k"), now=NOON)

    assert again.reservation == first.reservation


def test_a_key_is_valid_for_one_request_only() -> None:
    standing, app = make_ticket_type(10), make_app()
    services.reserve(app=app, wanted=wanted((standing, 2), key="k"), now=NOON)

    with pytest.raises(services.KeyReused):
        services.reserve(app=app, wanted=wanted((standing, 3), key="k"), now=NOON)
    assert counters(standing) == [(2, 0)]


def test_two_apps_may_use_the_same_key() -> None:
    standing = make_ticket_type(10)

    for app in (make_app(), make_app()):
        services.reserve(app=app, wanted=wanted((standing, 1), key="k"), now=NOON)

    assert counters(standing) == [(2, 0)]


def test_a_sold_out_refusal_names_the_tickets_left_and_does_not_use_up_the_key() -> None:
    standing, app = make_ticket_type(3), make_app()

    with pytest.raises(services.SoldOut) as refusal:
        services.reserve(app=app, wanted=wanted((standing, 4), key="k"), now=NOON)
    assert refusal.value.left == 3

    TicketType.objects.update(capacity=4)
    assert services.reserve(app=app, wanted=wanted((standing, 4), key="k"), now=NOON).is_new


def test_an_expired_hold_is_available_to_the_next_buyer_immediately() -> None:
    standing, app = make_ticket_type(2), make_app()
    first = services.reserve(app=app, wanted=wanted((standing, 2)), now=NOON)
    later = NOON + timedelta(minutes=15)

    second = services.reserve(app=app, wanted=wanted((standing, 1)), now=later)

    assert second.is_new
    first.reservation.refresh_from_db()
    assert first.reservation.status == Status.EXPIRED
    assert counters(standing) == [(1, 0)]


def test_a_live_hold_is_not_available_to_another_buyer() -> None:
    standing, app = make_ticket_type(2), make_app()
    services.reserve(app=app, wanted=wanted((standing, 2)), now=NOON)

    with pytest.raises(services.SoldOut) as refusal:
        services.reserve(app=app, wanted=wanted((standing, 1)), now=NOON + timedelta(minutes=14))
    assert refusal.value.left == 0


@pytest.mark.parametrize(
    "window",
    [
        {"sale_starts_at": NOON + timedelta(seconds=1)},
        {"sale_ends_at": NOON},
        {"sale_starts_at": NOON - timedelta(days=2), "sale_ends_at": NOON - timedelta(days=1)},
    ],
)
def test_tickets_are_not_sold_outside_their_sale_window(window: dict[str, Any]) -> None:
    standing = make_ticket_type(10, **window)

    with pytest.raises(services.NotOnSale):
        services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOON)
    assert counters(standing) == [(0, 0)]


@pytest.mark.parametrize(
    ("starts_in", "sale_ends_in", "is_sold"),
    [
        (timedelta(seconds=1), None, True),
        (timedelta(0), None, False),
        (timedelta(days=-2), None, False),
        # Tickets may stay on sale after the event has begun, for example for the remaining days of a festival.
        (timedelta(days=-2), timedelta(seconds=1), True),
        (timedelta(days=-2), timedelta(0), False),
        (timedelta(days=2), timedelta(0), False),
        (None, None, True),
    ],
)
def test_the_sale_ends_with_the_start_of_the_event_unless_an_end_is_set(
    starts_in: timedelta | None, sale_ends_in: timedelta | None, is_sold: bool
) -> None:
    event = make_event(starts_at=None if starts_in is None else NOON + starts_in)
    ends_at = None if sale_ends_in is None else NOON + sale_ends_in
    standing = make_ticket_type(10, event=event, sale_ends_at=ends_at)

    if is_sold:
        assert services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOON).is_new
    else:
        with pytest.raises(services.NotOnSale):
            services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOON)
    [stock] = list_stock(TicketType.objects.all(), now=NOON)
    listed = availability_json(event.slug, now=NOON)
    assert stock.is_on_sale == is_sold
    assert (b'"on_sale":true' in listed) == is_sold
    assert bool(listed) == is_sold  # Ticket types whose sale has ended are not listed.


def test_an_event_whose_sale_begins_later_is_listed_but_not_on_sale() -> None:
    later = NOON + timedelta(days=1)
    event = make_event(starts_at=later + timedelta(days=30))
    make_ticket_type(10, event=event, sale_starts_at=later)

    listed = json.loads(availability_json(event.slug, now=NOON))

    [offer] = listed["ticket_types"]
    assert offer["on_sale"] is False
    assert datetime.fromisoformat(offer["sale_starts_at"]) == later
    assert datetime.fromisoformat(offer["sale_ends_at"]) == event.starts_at


def test_an_event_taken_off_sale_sells_nothing() -> None:
    standing = make_ticket_type(event=make_event(is_on_sale=False))

    with pytest.raises(services.NotOnSale):
        services.reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOON)


def test_an_unknown_ticket_type_is_named_in_the_error() -> None:
    standing = make_ticket_type()
    request = wanted((standing, 1), (TicketType(pk=10**6), 1))

    with pytest.raises(services.UnknownTicketType, match="1000000"):
        services.reserve(app=make_app(), wanted=request, now=NOON)


def test_types_of_different_currencies_cannot_be_reserved_together() -> None:
    dear, cheap = make_ticket_type(currency="EUR"), make_ticket_type(currency="JPY")

    with pytest.raises(services.NotOnSale):
        services.reserve(app=make_app(), wanted=wanted((dear, 1), (cheap, 1)), now=NOON)


def test_a_customer_cannot_hold_and_own_more_than_the_limit() -> None:
    standing, app = make_ticket_type(10, per_customer_limit=3), make_app()
    services.reserve(app=app, wanted=wanted((standing, 2), customer="c-1"), now=NOON)

    with pytest.raises(services.LimitReached) as refusal:
        services.reserve(app=app, wanted=wanted((standing, 2), customer="c-1"), now=NOON)
    assert (refusal.value.limit, refusal.value.owned) == (3, 2)

    services.reserve(app=app, wanted=wanted((standing, 2), customer="c-2"), now=NOON)
    services.reserve(app=app, wanted=wanted((standing, 1), customer="c-1"), now=NOON)
    assert counters(standing) == [(5, 0)]


def test_an_expired_hold_does_not_count_against_the_limit() -> None:
    standing, app = make_ticket_type(10, per_customer_limit=2), make_app()
    services.reserve(app=app, wanted=wanted((standing, 2), customer="c-1"), now=NOON)

    later = NOON + timedelta(minutes=16)
    assert services.reserve(app=app, wanted=wanted((standing, 2), customer="c-1"), now=later).is_new


def test_the_database_rejects_overselling() -> None:
    standing = make_ticket_type(2)

    for wrong in ({"held": 3}, {"sold": 3}, {"held": 1, "sold": 2}, {"capacity": 0, "sold": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            TicketType.objects.filter(pk=standing.pk).update(**wrong)
