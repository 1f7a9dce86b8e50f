"""Test that exact figures count the orders that a problem affected, by their state at each step."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from errors.models import ErrorGroup
from errors.queries import pages
from errors.queries.mentions import describe_group
from errors.services import merging
from impact.models import Change, Order, Touch
from impact.queries.orders import list_orders
from impact.references import References
from impact.services import catch_up as catch_up_module
from impact.states import State
from payments.models import Payment
from reservations import services
from reservations.models import Reservation
from tests.errors.stored import make_error
from tests.factories import make_alert, make_app, make_event, make_payment, make_ticket_type
from tests.impact.support import (
    MINUTE,
    NOON,
    alert_figures,
    amounts,
    catch_up,
    group_figures,
    pay,
    refund,
    reserve,
    shop,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("by", ["order", "reservation", "request", "user", "payment"])
def test_an_error_is_linked_to_the_order_by_any_reference(by: str) -> None:
    type_ = make_ticket_type(price=4500)
    mine = reserve(type_, 2, now=NOON - MINUTE, order_id="o-1", customer="u-1")
    Reservation.objects.filter(pk=mine.pk).update(request_id="req-1", customer="u-1")
    payment = make_payment(str(mine.uuid), status="requires_action", amount=9000, now=NOON - MINUTE)
    reserve(type_, now=NOON, order_id="o-2", customer="u-2")
    named: dict[str, Any] = {
        "order": {"order_ref": "o-1"},
        "reservation": {"reservation_ref": str(mine.uuid)},
        "request": {"request_id": "req-1"},
        "user": {"user_key": "u-1"},
        "payment": {"payment_ref": payment.intent_id},
    }

    figures = group_figures(make_error(shop(), **named[by]), NOON)

    assert amounts(figures) == {"at_risk": {"EUR": 9000}}
    assert (figures.orders, figures.seats) == ({State.AT_RISK: 1}, {State.AT_RISK: 2})


@pytest.mark.parametrize(
    ("occurred_before", "lost_count"),
    [(timedelta(seconds=5), 1), (timedelta(hours=2), 0), (timedelta(seconds=-30), 0)],
    ids=["sent a little later", "a clock that is slow", "a clock that is fast"],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["order first", "error first"])
def test_an_order_that_the_app_cancels_before_the_error_arrives_is_lost(
    occurred_before: timedelta, lost_count: int, is_first: bool
) -> None:
    hold = reserve(make_ticket_type(price=4500), now=NOON - MINUTE, order_id="o-1")
    if is_first:
        services.cancel(reservation=hold, now=NOON - timedelta(seconds=4))
        catch_up(seconds=20)

    event = make_error(
        shop(), order_ref="o-1", received_at=NOON, occurred_at=NOON - occurred_before
    )
    if not is_first:
        catch_up(seconds=20)
        services.cancel(reservation=hold, now=NOON - timedelta(seconds=4))

    assert group_figures(event, NOON).orders.get(State.LOST, 0) == lost_count
    shown = pages.event_impact(event, now=NOON).figures
    assert shown.orders.get(State.LOST, 0) == lost_count


def test_an_error_that_is_delivered_late_belongs_to_the_alert_of_its_time() -> None:
    reserve(make_ticket_type(price=4500), now=NOON - MINUTE, order_id="o-1")
    event = make_error(
        shop(), order_ref="o-1", received_at=NOON, occurred_at=NOON - timedelta(minutes=9)
    )
    catch_up(seconds=20)

    touch = Touch.objects.get(problem=event.group_id)
    assert (touch.first_at, touch.last_at) == (NOON - timedelta(minutes=9), NOON)


def test_an_error_is_linked_to_the_orders_of_an_organization() -> None:
    make_payment(order_id="o-1", status="processing", now=NOON, organization="acme")

    figures = group_figures(make_error(shop(), organization="acme"), NOON)

    assert amounts(figures) == {"at_risk": {"EUR": 2500}}


def test_an_error_is_linked_to_a_customer_by_the_e_mail_address() -> None:
    from core.lib.customers import customer_reference
    from errors.event.build import user_key_of

    customer = customer_reference("Ann@example.org")
    make_payment(order_id="o-1", status="processing", now=NOON, customer=customer)

    key = user_key_of({"email": "ann@example.org"}, "")
    figures = group_figures(make_error(shop(), user_key=key), NOON)

    assert figures.orders == {State.AT_RISK: 1}


@pytest.mark.parametrize("by", ["order_ref", "user_key", "request_id"])
def test_an_order_that_begins_after_the_error_is_also_linked(by: str) -> None:
    named: dict[str, Any] = {by: {"order_ref": "o-1", "user_key": "u-1", "request_id": "req-1"}[by]}
    event = make_error(shop(), **named)
    assert not group_figures(event, NOON)

    hold = reserve(make_ticket_type(), now=NOON + MINUTE, order_id="o-1", customer="u-1")
    Reservation.objects.filter(pk=hold.pk).update(request_id="req-1", customer="u-1")

    assert group_figures(event, NOON + MINUTE).orders == {State.AT_RISK: 1}


def test_a_user_links_an_error_only_to_orders_of_the_day_before_and_after() -> None:
    type_ = make_ticket_type()
    for hours in (-25, -23, 23, 25):
        at = NOON + timedelta(hours=hours)
        services.complete(
            reservation=reserve(type_, now=at, customer="u-1"), paid_elsewhere="desk", now=at
        )

    figures = group_figures(make_error(shop(), user_key="u-1"), NOON + timedelta(days=2))

    assert figures.orders == {State.SAFE: 1, State.RECOVERED: 1}


@pytest.mark.parametrize("by", ["order", "payment", "reservation"])
@pytest.mark.parametrize("is_earlier", [False, True])
def test_an_event_that_names_an_order_affects_no_other_order_of_its_user(
    by: str, is_earlier: bool
) -> None:
    type_ = make_ticket_type(price=4500)
    mine = reserve(type_, now=NOON, order_id="o-1", customer="u-1")
    payment = make_payment(str(mine.uuid), status="processing", amount=4500, now=NOON)
    organized = {"customer": "u-1", "organization": "acme"}
    if is_earlier:
        make_payment(order_id="o-2", status="processing", now=NOON - MINUTE, **organized)
    named: dict[str, dict[str, Any]] = {
        "order": {"order_ref": "o-1"},
        "payment": {"payment_ref": payment.intent_id},
        "reservation": {"reservation_ref": str(mine.uuid)},
    }

    event = make_error(
        shop(), received_at=NOON, user_key="u-1", organization="acme", request_id="r", **named[by]
    )
    assert group_figures(event, NOON).orders == {State.AT_RISK: 1}
    if not is_earlier:
        make_payment(order_id="o-2", status="processing", now=NOON + MINUTE, **organized)

    assert group_figures(event, NOON + MINUTE).orders == {State.AT_RISK: 1}
    assert pages.event_impact(event, now=NOON + MINUTE).figures.orders == {State.AT_RISK: 1}


def test_an_alert_that_names_an_order_affects_no_other_order_of_its_user() -> None:
    make_payment(order_id="o-1", status="processing", now=NOON, customer="u-1")
    make_payment(order_id="o-2", status="processing", now=NOON, customer="u-1")

    alert = make_alert(
        references=References(order_ids=frozenset({"o-1"}), user_ids=frozenset({"u-1"})), now=NOON
    )

    assert alert_figures(alert, NOON).orders == {State.AT_RISK: 1}


def test_the_states_of_an_order_follow_what_happens_to_it() -> None:
    type_ = make_ticket_type(100, price=4500, event=make_event(hold_minutes=15))
    paid, expired, cancelled = (
        reserve(type_, now=NOON, order_id=f"o-{name}") for name in ("paid", "expired", "cancelled")
    )
    for order in ("o-expired", "o-cancelled", "o-before"):
        make_error(shop(), order_ref=order, group="g")
    event = make_error(shop(), order_ref="o-paid", group="g")
    services.complete(
        reservation=reserve(type_, now=NOON - 5 * MINUTE, order_id="o-before"),
        paid_elsewhere="desk",
        now=NOON - 4 * MINUTE,
    )
    before = group_figures(event, NOON)
    assert amounts(before) == {"at_risk": {"EUR": 13500}, "safe": {"EUR": 4500}}

    payment = pay(paid, now=NOON + MINUTE)
    services.cancel(reservation=cancelled, now=NOON + 2 * MINUTE)
    # The expired hold counts as lost although the clean-up has not released it yet.
    during = group_figures(event, NOON + 16 * MINUTE)
    assert amounts(during) == {
        "lost": {"EUR": 9000}, "recovered": {"EUR": 4500}, "safe": {"EUR": 4500},
    }  # fmt: skip
    assert during.sentence() == "4 orders, 90.00 EUR lost, 1 recovered, 1 safe"

    services.release_expired(now=NOON + 20 * MINUTE)
    assert amounts(group_figures(event, NOON + 20 * MINUTE)) == amounts(during)

    refund(payment, 1000, now=NOON + 30 * MINUTE)
    assert amounts(group_figures(event, NOON + 30 * MINUTE))["recovered"] == {"EUR": 3500}
    refund(payment, 3500, now=NOON + 40 * MINUTE)
    after = group_figures(event, NOON + 40 * MINUTE)
    assert after.orders == {State.LOST: 3, State.SAFE: 1}
    assert expired.pk


def test_a_payment_without_a_seat_is_due_for_a_refund_until_it_is_refunded() -> None:
    type_ = make_ticket_type(1, price=4500)
    late = reserve(type_, now=NOON - 30 * MINUTE, order_id="o-late")
    event = make_error(shop(), order_ref="o-late")
    services.release_expired(now=NOON)
    reserve(type_, now=NOON)

    payment = pay(late, now=NOON + MINUTE)
    assert amounts(group_figures(event, NOON + MINUTE)) == {"refund_due": {"EUR": 4500}}

    refund(payment, 4500, now=NOON + 2 * MINUTE)
    assert group_figures(event, NOON + 2 * MINUTE).orders == {State.LOST: 1}


def test_a_second_payment_is_due_for_a_refund_and_the_order_is_safe_afterwards() -> None:
    hold = reserve(make_ticket_type(price=4500), now=NOON - 5 * MINUTE, order_id="o-1")
    pay(hold, now=NOON - 4 * MINUTE)
    second = pay(hold, now=NOON - 3 * MINUTE)
    event = make_error(shop(), order_ref="o-1")
    assert amounts(group_figures(event, NOON)) == {"refund_due": {"EUR": 4500}}

    refund(second, 4500, now=NOON + MINUTE)

    figures = group_figures(event, NOON + MINUTE)
    assert (amounts(figures), figures.orders) == ({"safe": {"EUR": 4500}}, {State.SAFE: 1})


def test_a_reservation_joins_the_order_that_its_payment_names() -> None:
    hold = reserve(make_ticket_type(price=4500), now=NOON)
    event = make_error(shop(), reservation_ref=str(hold.uuid))
    assert group_figures(event, NOON).orders == {State.AT_RISK: 1}

    make_payment(str(hold.uuid), order_id="o-1", amount=4500, status="processing", now=NOON)

    figures = group_figures(event, NOON)
    assert (figures.orders, amounts(figures)) == ({State.AT_RISK: 1}, {"at_risk": {"EUR": 4500}})
    assert [order.key for order in Order.objects.all()] == ["order:o-1"]


def test_an_order_in_two_currencies_counts_once() -> None:
    make_error(shop(), order_ref="o-1")
    for currency, price in (("EUR", 4500), ("USD", 5000)):
        reserve(make_ticket_type(price=price, currency=currency), now=NOON, order_id="o-1")
    event = make_error(shop(), order_ref="o-1", group="g")

    figures = group_figures(event, NOON)

    assert figures.orders == {State.AT_RISK: 1}
    assert amounts(figures) == {"at_risk": {"EUR": 4500, "USD": 5000}}


def test_a_merged_group_counts_each_order_once() -> None:
    reserve(make_ticket_type(price=4500), now=NOON, order_id="o-1")
    app = shop()
    one = make_error(app, group="one", order_ref="o-1")
    other = make_error(app, group="other", order_ref="o-1")
    groups = list(ErrorGroup.objects.filter(pk__in=[one.group_id, other.group_id]))

    kept = merging.merge_groups(groups, user=None, now=NOON)

    shown = one if kept.pk == one.group_id else other
    shown.group = kept
    assert amounts(group_figures(shown, NOON)) == {"at_risk": {"EUR": 4500}}


def test_an_order_that_ended_before_the_error_is_listed_but_not_counted() -> None:
    type_ = make_ticket_type(price=4500)
    ended = reserve(type_, now=NOON, order_id="o-ended")
    services.cancel(reservation=ended, now=NOON + MINUTE)
    reserve(type_, now=NOON, order_id="o-expired")
    reserve(type_, now=NOON + 29 * MINUTE, order_id="o-live")
    for order in ("o-ended", "o-expired", "o-live"):
        event = make_error(shop(), order_ref=order, group="g", received_at=NOON + 30 * MINUTE)

    found = pages.group_impact(event.group, now=NOON + 31 * MINUTE).figures

    assert found.sentence() == "1 order, 45.00 EUR at risk"
    assert (found.order_count, found.seat_count) == (1, 1)
    assert amounts(found) == {"at_risk": {"EUR": 4500}}
    listed = list_orders(describe_group(event.group), now=NOON + 31 * MINUTE, size=10).rows
    assert [row.state for row in listed] == [State.EARLIER, State.EARLIER, State.AT_RISK]


def test_an_alert_counts_the_orders_of_its_references() -> None:
    hold = reserve(make_ticket_type(price=4500), now=NOON, order_id="o-1")
    payment = make_payment(str(hold.uuid), amount=4500, status="processing", now=NOON)

    alert = make_alert(now=NOON, references=References(payment_ids=frozenset({str(payment.uuid)})))

    figures = alert_figures(alert, NOON)
    assert (amounts(figures), figures.seats) == (
        {"at_risk": {"EUR": 4500}},
        {State.AT_RISK: 1},
    )


def test_an_alert_without_references_affects_no_order() -> None:
    reserve(make_ticket_type(), now=NOON)

    assert not alert_figures(make_alert(now=NOON), NOON)


def test_every_change_is_applied_and_then_deleted() -> None:
    hold = reserve(make_ticket_type(), now=NOON, order_id="o-1")
    make_error(shop(), order_ref="o-1", user_key="u-1")
    assert Change.objects.count() >= 2

    assert catch_up()
    assert not Change.objects.exists()
    stored = list(Order.objects.values_list("key", "stage", "until"))
    assert stored == [("order:o-1", "open", hold.expires_at)]
    assert Touch.objects.count() == 1


def test_a_reader_leaves_a_flood_of_changes_to_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up_module, "MAX_READ_CHANGES", 2)
    for number in range(3):
        make_payment(status="processing", order_id=f"o-{number}")
    assert Change.objects.count() > 2

    assert not catch_up()
    assert not Order.objects.exists()
    assert catch_up(seconds=20)
    assert Order.objects.count() == 3


@pytest.mark.parametrize(
    "change",
    [
        {"status": "succeeded", "amount_received": 2500},
        {"status": "canceled"},
        {"reservation_id": str(uuid.uuid4())},
    ],
)
def test_a_change_by_sql_is_also_applied(change: dict[str, Any]) -> None:
    payment = make_payment(status="processing")
    catch_up()

    Payment.objects.filter(pk=payment.pk).update(**change)

    assert Change.objects.count() == 1


def test_a_repeated_request_does_not_change_an_order() -> None:
    payment = make_payment(status="processing", app=make_app())
    catch_up()

    Payment.objects.filter(pk=payment.pk).update(replay_count=2)

    assert not Change.objects.exists()
