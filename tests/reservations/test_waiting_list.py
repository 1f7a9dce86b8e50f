"""Test that returned tickets of a sold-out type are offered to the first customer in line, before other buyers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.clients.models import ApiKey, ClientApp, Scope
from reservations import services
from reservations.models import Reservation, TicketType, WaitingEntry
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_event, make_payment, make_ticket_type, wanted

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def sold_out(capacity: int = 2, **fields: Any) -> tuple[TicketType, list[Reservation]]:
    """Return a sold-out ticket type with a waiting list, and its reservations of one ticket each."""
    type_ = make_ticket_type(capacity, has_waiting_list=True, **fields)
    return type_, [reserve(type_) for _ in range(capacity)]


def reserve(type_: TicketType, quantity: int = 1, now: datetime = NOON) -> Reservation:
    made = services.reserve(app=make_app(), wanted=wanted((type_, quantity)), now=now)
    payment = make_payment(str(made.reservation.uuid), now=now)
    services.complete_paid(payment=payment, now=now)
    made.reservation.refresh_from_db()
    return made.reservation


def join(
    app: ClientApp, type_: TicketType, customer: str, quantity: int = 1, now: datetime = NOON
) -> WaitingEntry:
    return services.join(
        app=app,
        ticket_type=type_.pk,
        quantity=quantity,
        customer=customer,
        order_id="",
        now=now,
    ).entry


def status(entry: WaitingEntry, now: datetime = NOON) -> str:
    return WaitingEntry.objects.get(pk=entry.pk).shown_status(now)


def test_the_first_in_line_is_offered_a_returned_ticket_with_a_time_limit(app: ClientApp) -> None:
    type_, [first, _] = sold_out(offer_minutes=30)
    ann, ben = join(app, type_, "ann"), join(app, type_, "ben")

    services.release_sold(first, now=NOON)
    assert services.offer_tickets(now=NOON) == 1
    assert services.offer_tickets(now=NOON) == 0

    ann.refresh_from_db()
    assert (status(ann), status(ben)) == ("offered", "waiting")
    assert ann.reservation is not None
    assert ann.reservation.expires_at == NOON + timedelta(minutes=30)
    assert (ann.reservation.customer, ann.reservation.app) == ("ann", app)
    assert find_drift() == []


def test_other_buyers_get_no_ticket_while_someone_waits(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    join(app, type_, "ann", quantity=2)
    services.release_sold(first, now=NOON)

    with pytest.raises(services.SoldOut):
        reserve(type_)
    assert TicketType.objects.all().available(NOON) == {type_.pk: 0}
    assert services.offer_tickets(now=NOON) == 0  # Ann waits for two tickets, but only one is free.


def test_an_offer_that_is_paid_is_accepted_and_everyone_can_buy_again(app: ClientApp) -> None:
    type_, [first, second] = sold_out()
    ann = join(app, type_, "ann")
    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)

    ann.refresh_from_db()
    assert ann.reservation is not None
    payment = make_payment(str(ann.reservation.uuid), now=NOON)
    services.complete_paid(payment=payment, now=NOON)
    services.release_sold(second, now=NOON)

    assert status(ann) == "accepted"
    assert reserve(type_).status == "completed"


def test_a_missed_offer_goes_to_the_next_in_line(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann, ben = join(app, type_, "ann"), join(app, type_, "ben")
    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)

    late = NOON + 61 * MINUTE
    services.offer_tickets(now=late)

    assert (status(ann, late), status(ben, late)) == ("missed", "offered")
    assert find_drift() == []


def test_a_smaller_request_is_served_when_the_first_one_does_not_fit(app: ClientApp) -> None:
    type_, [first, second] = sold_out()
    ann, ben = join(app, type_, "ann", quantity=2), join(app, type_, "ben")

    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)
    assert (status(ann), status(ben)) == ("waiting", "offered")

    services.leave(entry=ben, now=NOON)
    services.release_sold(second, now=NOON)
    services.offer_tickets(now=NOON)
    assert status(ann) == "offered"


@pytest.mark.parametrize("how", ["cancelled", "expired", "capacity"])
def test_tickets_are_offered_however_they_become_available(app: ClientApp, how: str) -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    held = services.reserve(app=app, wanted=wanted((type_, 1)), now=NOON).reservation
    ann, now = join(app, type_, "ann"), NOON

    if how == "cancelled":
        services.cancel(reservation=held, now=NOON)
    elif how == "expired":
        now = NOON + 16 * MINUTE
    else:
        TicketType.objects.update(capacity=2)
    services.offer_tickets(now=now)

    assert status(ann, now) == "offered"


def test_a_request_for_more_than_all_tickets_is_refused_and_blocks_no_other_buyer(
    app: ClientApp,
) -> None:
    type_, [first, *_] = sold_out(3)
    with pytest.raises(services.MoreThanCapacity, match="only 3 tickets in total"):
        join(app, type_, "ann", 4)
    ben = join(app, type_, "ben", 3)

    services.release_sold(first, now=NOON)
    services.release_sold(Reservation.objects.order_by("pk")[1], now=NOON)
    TicketType.objects.filter(pk=type_.pk).update(capacity=2)
    assert services.offer_tickets(now=NOON) == 0

    assert status(ben) == "closed"
    reserve(type_)


def test_leaving_the_list_lets_other_buyers_buy(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann = join(app, type_, "ann")
    services.release_sold(first, now=NOON)

    for _ in range(2):
        services.leave(entry=ann, now=NOON)

    assert status(ann) == "left"
    assert reserve(type_).status == "completed"


def test_leaving_with_an_offer_returns_the_tickets(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann, ben = join(app, type_, "ann"), join(app, type_, "ben")
    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)

    services.leave(entry=ann, now=NOON)
    services.offer_tickets(now=NOON)

    assert (status(ann), status(ben)) == ("left", "offered")


def test_an_offer_ends_with_its_reservation_and_with_its_event(app: ClientApp) -> None:
    type_, [first, second] = sold_out()
    ann, ben = join(app, type_, "ann"), join(app, type_, "ben")
    for reservation in (first, second):
        services.release_sold(reservation, now=NOON)
    services.offer_tickets(now=NOON)
    for entry in (ann, ben):
        entry.refresh_from_db()
    assert ann.reservation is not None

    services.cancel(reservation=ann.reservation, now=NOON)
    assert (status(ann), status(ben)) == ("left", "offered")
    staff = User.objects.create_user("staff", is_staff=True)
    services.cancel_event(event=type_.event, reason="Storm", user=staff, now=NOON)
    services.continue_cancellations(now=NOON)
    assert status(ben) == "closed"


def test_an_accepted_offer_cannot_be_left(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann = join(app, type_, "ann")
    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)
    ann.refresh_from_db()
    assert ann.reservation is not None
    services.complete(reservation=ann.reservation, paid_elsewhere="desk", now=NOON)

    with pytest.raises(services.CannotChange):
        services.leave(entry=ann, now=NOON)


def test_the_list_closes_when_the_sale_ends(app: ClientApp) -> None:
    type_, _ = sold_out(event=make_event(starts_at=NOON + MINUTE))
    ann = join(app, type_, "ann")

    services.offer_tickets(now=NOON + MINUTE)

    type_.refresh_from_db()
    assert (status(ann), type_.has_waiting_buyers) == ("closed", False)


def test_nothing_is_offered_while_the_sale_is_switched_off(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann = join(app, type_, "ann")
    services.release_sold(first, now=NOON)
    type_.event.is_on_sale = False
    type_.event.save()

    assert services.offer_tickets(now=NOON) == 0
    assert status(ann) == "waiting"


def test_a_customer_waits_only_once_and_keeps_their_place(app: ClientApp) -> None:
    type_, [first, _] = sold_out()
    ann = join(app, type_, "ann")
    join(app, type_, "ben")

    assert join(app, type_, "ann", quantity=2).pk == ann.pk
    services.release_sold(first, now=NOON)
    services.offer_tickets(now=NOON)
    assert join(app, type_, "ann").pk == ann.pk


def test_a_late_payment_takes_precedence_over_the_waiting_list(app: ClientApp) -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    late = services.reserve(app=app, wanted=wanted((type_, 1)), now=NOON).reservation
    join(app, type_, "ann")
    services.release_expired(now=NOON + 16 * MINUTE)

    payment = make_payment(str(late.uuid), now=NOON)
    services.complete_paid(payment=payment, now=NOON + 17 * MINUTE)

    late.refresh_from_db()
    assert late.status == "completed"
    assert services.offer_tickets(now=NOON + 17 * MINUTE) == 0


def test_an_offer_respects_the_limit_per_customer(app: ClientApp) -> None:
    type_, [first, second] = sold_out(per_customer_limit=None)
    ann = join(app, type_, "ann", quantity=2)
    TicketType.objects.update(per_customer_limit=1)
    for reservation in (first, second):
        services.release_sold(reservation, now=NOON)

    services.offer_tickets(now=NOON)

    assert status(ann) == "closed"


# --- the API ------------------------------------------------------------------------------------------


@pytest.fixture
def shop(app: ClientApp) -> Client:
    _, secret = ApiKey.issue(app=app, scopes=[Scope.RESERVATIONS])
    return Client(headers={"Authorization": f"Bearer {secret}"})


def post(shop: Client, path: str = "", **body: object) -> Any:
    return shop.post(f"/api/v1/waiting-list/{path}", body, content_type="application/json")


def test_an_app_can_let_a_customer_wait_and_see_the_offer(shop: Client) -> None:
    now = timezone.now()
    type_ = make_ticket_type(1, has_waiting_list=True)
    first = reserve(type_, now=now)

    joined = post(shop, ticket_type=type_.pk, quantity=1, customer="c-1", order_id="o-1")
    again = post(shop, ticket_type=type_.pk, quantity=1, customer="c-1")

    assert (joined.status_code, again.status_code) == (201, 200)
    entry = joined.json()
    assert (entry["status"], entry["position"], entry["reservation"]) == ("waiting", 1, None)
    assert shop.get("/api/v1/waiting-list/").json() == {"offers": []}

    services.release_sold(first, now=now)
    services.offer_tickets(now=now)

    [offer] = shop.get("/api/v1/waiting-list/").json()["offers"]
    assert (offer["id"], offer["status"], offer["customer"]) == (entry["id"], "offered", "c-1")
    held = shop.get(f"/api/v1/reservations/{offer['reservation']}/").json()
    assert (held["status"], held["order_id"]) == ("active", "o-1")
    assert shop.get(f"/api/v1/waiting-list/{entry['id']}/").json() == offer
    left = post(shop, f"{entry['id']}/leave/")
    assert (left.status_code, left.json()["status"]) == (200, "left")


REFUSALS: dict[str, tuple[Callable[[], TicketType], int, str]] = {
    "not sold out": (lambda: make_ticket_type(5, has_waiting_list=True), 409, "not-sold-out"),
    "no list": (lambda: make_ticket_type(0), 409, "no-waiting-list"),
    "off sale": (
        lambda: make_ticket_type(0, has_waiting_list=True, event=make_event(is_on_sale=False)),
        409,
        "not-on-sale",
    ),
    "more than all": (
        lambda: make_ticket_type(1, has_waiting_list=True),
        409,
        "more-than-capacity",
    ),
    "unknown": (lambda: TicketType(pk=10**6), 422, "unknown-ticket-type"),
    "limit": (
        lambda: make_ticket_type(0, has_waiting_list=True, per_customer_limit=1),
        409,
        "limit",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_names_its_reason(shop: Client, case: str) -> None:
    make, code, kind = REFUSALS[case]

    refused = post(shop, ticket_type=make().pk, quantity=2, customer="c-1")

    assert (refused.status_code, refused.json()["type"]) == (code, kind)
    assert not WaitingEntry.objects.exists()


def test_an_app_sees_only_its_own_customers(shop: Client, app: ClientApp) -> None:
    type_, _ = sold_out()
    other = join(make_app("other"), type_, "ann")

    assert shop.get(f"/api/v1/waiting-list/{other.uuid}/").status_code == 404
    assert post(shop, f"{other.uuid}/leave/").status_code == 404


def test_a_customer_must_be_named(shop: Client) -> None:
    assert post(shop, ticket_type=1, quantity=1, customer="").status_code == 422


def test_availability_says_where_customers_can_wait(shop: Client) -> None:
    make_ticket_type(0, has_waiting_list=True, event=make_event("gala"))

    [offer] = shop.get("/api/v1/availability/gala/").json()["ticket_types"]

    assert (offer["left"], offer["waiting_list"]) == (0, True)
