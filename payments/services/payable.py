"""Check a new payment against its reservation before anything is created."""

import uuid
from datetime import datetime
from typing import Any

from core.lib.formats import money
from payments.extension_points import Payable, find_payable
from payments.queries.dues import sum_partial_payments
from payments.splits import Purpose, Split, ticket_share


class NotPayable(Exception):
    """The payment does not fit its reservation. `type` and `members` are added to the problem document."""

    def __init__(self, status: int, type_: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type_
        self.members = members


def require_payable(
    *, reservation_id: str, amount: int, currency: str, split: Split, now: datetime
) -> None:
    """Raise NotPayable unless the reservation exists, can be paid, and needs this amount.

    A fee may have any amount, and a declared part may be less than the unpaid amount. Do nothing if `reservation_id` is
    empty.
    """
    if not reservation_id:
        return
    payable = find_payable(uuid.UUID(reservation_id), now=now)
    if payable is None:
        raise NotPayable(404, "unknown-reservation", "there is no such reservation")
    if not payable.is_open and not (payable.is_completed and split.purpose != Purpose.FULL):
        raise NotPayable(
            409,
            "reservation-closed",
            f"the reservation is {payable.status} and cannot be paid",
            status_now=payable.status,
        )
    if split.purpose == Purpose.FEE:
        return
    if currency != payable.currency:
        raise _differs(payable.amount, payable.currency, amount, currency)
    paid = sum_partial_payments(reservation_id, currency=currency)
    left = payable.amount - split.discount - paid.discount - paid.received
    share = ticket_share(amount, purpose=split.purpose, fee=split.fee)
    if paid.processing and share > left - paid.processing:
        raise NotPayable(
            409,
            "payment-processing",
            f"a payment of {money(paid.processing, currency)} for this reservation is still processing",
        )
    if split.purpose == Purpose.FULL and share != left:
        raise _differs(left + split.fee, currency, amount, currency)
    if share <= 0:
        raise NotPayable(
            422,
            "amount-differs",
            "the fee uses up the amount, so nothing is left to pay for the reservation",
        )
    if share > left:
        _require_balance(payable, left)
        raise _differs(left + split.fee, currency, amount, currency, prefix="at most ")


def _require_balance(payable: Payable, left: int) -> None:
    if payable.is_completed and left <= 0:
        raise NotPayable(
            409, "reservation-closed", "the reservation is paid", status_now=payable.status
        )


def _differs(
    expected: int, expected_currency: str, amount: int, currency: str, *, prefix: str = ""
) -> NotPayable:
    return NotPayable(
        422,
        "amount-differs",
        f"the reservation needs a payment of {prefix}{money(expected, expected_currency)}, "
        f"not {money(amount, currency)}; declare a split if that is intended",
        expected_amount=expected,
        expected_currency=expected_currency,
        amount=amount,
        currency=currency,
    )
