"""Test that requests in one shared transaction on SQLite get the same results as separate requests."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection

from core.clients.models import ClientApp
from reservations.models import Line, Reservation, TicketType
from reservations.queries.drift import find_drift
from reservations.services.reserve_sqlite import Draft, reserve
from tests.factories import make_app, make_event, make_ticket_type

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="part of the SQLite run"),
]


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def draft(
    app: ClientApp, *items: tuple[TicketType, int], key: str = "", now: datetime = NOON
) -> Draft:
    reservation = Reservation(
        uuid=uuid4(), app=app, idempotency_key=key or uuid4().hex, fingerprint="f", created_at=now
    )
    return Draft(reservation, tuple((type_.pk, quantity) for type_, quantity in items))


def test_each_request_gets_its_lines_and_the_counters_are_updated(app: ClientApp) -> None:
    event = make_event(hold_minutes=5)
    standing, seated = make_ticket_type(9, price=100, event=event), make_ticket_type(9, event=event)
    drafts = [draft(app, (standing, 1)), draft(app, (standing, 2), (seated, 3))]

    made = reserve(drafts)

    assert made == [list(one.reservation.lines.order_by("pk")) for one in drafts]
    assert list(Line.objects.order_by("pk").values_list("quantity", "price")) == [
        (1, 100),
        (2, 100),
        (3, seated.price),
    ]
    for one in drafts:
        one.reservation.refresh_from_db()
        assert one.reservation.expires_at == NOON + timedelta(minutes=5)
        assert one.reservation.created_at == NOON
    assert find_drift() == []


def test_tickets_are_assigned_in_order_of_arrival_and_an_order_that_does_not_fit_gets_none(
    app: ClientApp,
) -> None:
    standing, seated = make_ticket_type(3), make_ticket_type(5)

    made = reserve(
        [
            draft(app, (standing, 2)),
            draft(app, (standing, 2), (seated, 5)),
            draft(app, (seated, 5)),
            draft(app, (standing, 1)),
            draft(app, (standing, 1)),
        ]
    )

    assert [lines is not None for lines in made] == [True, False, True, True, False]
    assert find_drift() == []


def test_a_repeated_or_known_key_reserves_once(app: ClientApp) -> None:
    standing, other = make_ticket_type(10), make_app("other")
    reserve([draft(app, (standing, 1), key="known")])

    made = reserve(
        [
            draft(app, (standing, 1), key="known"),
            draft(app, (standing, 1), key="twice"),
            draft(app, (standing, 1), key="twice"),
            draft(other, (standing, 1), key="known"),
        ]
    )

    assert [lines is not None for lines in made] == [False, True, False, True]
    standing.refresh_from_db()
    assert standing.held == 3
    assert find_drift() == []


def test_requests_that_need_the_general_path_are_left_to_that_path(app: ClientApp) -> None:
    second = timedelta(seconds=1)
    difficult = [
        draft(app, (make_ticket_type(per_customer_limit=2), 1)),
        draft(app, (make_ticket_type(event=make_event(is_on_sale=False)), 1)),
        draft(app, (make_ticket_type(sale_starts_at=NOON + second), 1)),
        draft(app, (make_ticket_type(sale_ends_at=NOON), 1)),
        draft(app, (TicketType(pk=10**6), 1)),
        draft(app, (make_ticket_type(currency="EUR"), 1), (make_ticket_type(currency="JPY"), 1)),
    ]
    assert reserve(difficult) == [None] * len(difficult)
    assert not Reservation.objects.exists()

    open_ = make_ticket_type(sale_starts_at=NOON, sale_ends_at=NOON + second / 2)
    assert reserve([draft(app, (open_, 1))]) != [None]
    assert reserve([draft(app, (open_, 1), now=NOON + second)]) == [None]
