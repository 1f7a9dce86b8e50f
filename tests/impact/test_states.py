"""Test that an order's stage is derived correctly from its payments and reservations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from impact.states import Attempt, Stage, decide, group_by_order

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def payment(stage: Stage = Stage.OPEN, reference: str = "p-1", **fields: Any) -> Attempt:
    return attempt("payment", stage, reference, **fields)


def hold(stage: Stage = Stage.OPEN, reference: str = "r-1", **fields: Any) -> Attempt:
    return attempt("reservation", stage, reference, **{"seats": 2, **fields})


def attempt(kind: str, stage: Stage, reference: str, **fields: Any) -> Attempt:
    given = {
        "amount": 9000,
        "currency": "EUR",
        "created_at": NOON,
        "until": NOON + 15 * MINUTE if stage == Stage.OPEN else None,
        "settled_at": None if stage == Stage.OPEN else NOON + 5 * MINUTE,
        "order_id": "o-1",
        **fields,
    }
    return Attempt(kind=kind, reference=reference, stage=stage, **given)


def test_three_attempts_of_one_order_count_one_amount() -> None:
    tries = [payment(reference=f"p-{n}", created_at=NOON + n * MINUTE) for n in range(3)]

    found = decide(tries)

    assert (found.stage, found.amounts) == (Stage.OPEN, {"EUR": 9000})


def test_an_unfinished_order_counts_its_newest_attempt() -> None:
    found = decide(
        [hold(amount=9000), hold(reference="r-2", amount=4500, created_at=NOON + MINUTE, seats=1)]
    )

    assert (found.amounts, found.seats) == ({"EUR": 4500}, 1)


def test_a_paid_order_does_not_count_its_abandoned_first_attempt() -> None:
    found = decide(
        [
            payment(),
            payment(Stage.PAID, "p-2", created_at=NOON + MINUTE),
            hold(Stage.PAID, payment_id="p-2"),
        ]
    )

    assert (found.stage, found.amounts, found.seats) == (Stage.PAID, {"EUR": 9000}, 2)
    assert found.settled_at == NOON + 5 * MINUTE


def test_a_hold_and_its_payment_are_one_order_until_the_hold_ends() -> None:
    found = decide([hold(), payment(reservation_id="r-1", until=NOON + timedelta(days=1))])

    assert (found.stage, found.amounts, found.until) == (
        Stage.OPEN,
        {"EUR": 9000},
        NOON + 15 * MINUTE,
    )


def test_an_expired_hold_loses_the_order_although_its_intent_could_be_paid() -> None:
    found = decide([hold(Stage.ENDED), payment(reservation_id="r-1")])

    assert (found.stage, found.amounts) == (Stage.ENDED, {"EUR": 9000})
    assert found.settled_at == NOON + 5 * MINUTE


def test_a_payment_in_flight_has_no_end() -> None:
    found = decide([hold(Stage.ENDED), payment(reservation_id="r-1", until=None)])

    assert (found.stage, found.until) == (Stage.OPEN, None)


def test_money_without_a_seat_is_at_risk_while_the_hold_is_active() -> None:
    found = decide([payment(Stage.PAID), hold()])

    assert (found.stage, found.until, found.seats) == (Stage.OPEN, None, 2)


def test_money_without_a_seat_must_be_returned_afterwards() -> None:
    found = decide([payment(Stage.PAID), hold(Stage.ENDED)])

    assert (found.stage, found.amounts) == (Stage.REFUND_DUE, {"EUR": 9000})


def test_only_the_second_payment_is_due_for_a_refund() -> None:
    found = decide(
        [
            payment(Stage.PAID),
            payment(Stage.PAID, "p-2", amount=8000),
            hold(Stage.PAID, payment_id="p-1"),
            attempt("refund", Stage.REFUND_DUE, "p-2", amount=8000),
        ]
    )

    assert (found.stage, found.amounts) == (Stage.REFUND_DUE, {"EUR": 8000})


def test_a_refunded_order_is_lost() -> None:
    found = decide([payment(Stage.ENDED), hold(Stage.PAID, payment_id="p-1")])

    assert found.stage == Stage.ENDED


def test_an_order_has_one_amount_per_currency() -> None:
    found = decide([hold(), hold(reference="r-2", amount=500, currency="USD")])

    assert found.amounts == {"EUR": 9000, "USD": 500}


def test_a_partial_payment_puts_the_whole_order_at_risk() -> None:
    found = decide([payment(Stage.PAID, amount=4000, reservation_id="r-1"), hold(amount=9000)])

    assert (found.stage, found.amounts) == (Stage.OPEN, {"EUR": 9000})


def test_two_payments_of_one_reservation_are_not_counted_with_its_price() -> None:
    found = decide(
        [
            payment(Stage.PAID, amount=4000, reservation_id="r-1"),
            payment(Stage.PAID, "p-2", amount=5000, reservation_id="r-1"),
            hold(Stage.PAID),
        ]
    )

    assert (found.stage, found.amounts) == (Stage.PAID, {"EUR": 9000})


def test_a_payment_elsewhere_counts_with_the_price_of_the_reservation() -> None:
    found = decide([hold(Stage.PAID)])

    assert (found.stage, found.amounts) == (Stage.PAID, {"EUR": 9000})


@pytest.mark.parametrize(
    ("of_hold", "of_payment", "keys"),
    [
        ("o-1", "o-1", {"order:o-1"}),
        ("", "o-1", {"order:o-1"}),
        ("o-1", "", {"order:o-1"}),
        ("", "", {"reservation:r-1"}),
        ("o-2", "o-1", {"order:o-1", "order:o-2"}),
    ],
)
def test_a_payment_and_its_reservation_belong_to_one_order(
    of_hold: str, of_payment: str, keys: set[str]
) -> None:
    attempts = [hold(order_id=of_hold), payment(order_id=of_payment, reservation_id="r-1")]

    assert set(group_by_order(attempts)) == keys


def test_a_payment_without_order_and_reservation_is_an_order() -> None:
    assert set(group_by_order([payment(order_id="")])) == {"payment:p-1"}


def test_an_order_ends_when_its_money_is_returned() -> None:
    """Test that a full refund ends an order, which therefore is lost after an error between payment and refund."""
    returned_at = NOON + timedelta(days=1)

    found = decide(
        [
            payment(Stage.ENDED, "p-1", settled_at=returned_at),
            hold(Stage.PAID, payment_id="p-1", settled_at=NOON + 5 * MINUTE),
        ]
    )

    assert (found.stage, found.settled_at) == (Stage.ENDED, returned_at)


def test_an_abandoned_payment_does_not_delay_the_end_of_a_hold() -> None:
    found = decide(
        [
            payment(Stage.ENDED, "p-1", settled_at=NOON + timedelta(days=1)),
            hold(Stage.ENDED, settled_at=NOON + 15 * MINUTE),
        ]
    )

    assert (found.stage, found.settled_at) == (Stage.ENDED, NOON + 15 * MINUTE)
