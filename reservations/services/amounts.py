"""Decide whether the amount of a successful payment matches the price of its reservation."""

from dataclasses import dataclass

from core.lib.formats import money
from payments.models import Payment
from payments.queries.dues import sum_partial_payments
from payments.splits import Purpose
from reservations.models import Reservation


@dataclass(frozen=True)
class Verdict:
    """The result of comparing a payment with the price of its reservation.

    `problem` describes why the amount is wrong, and is "" if the amount is right. `left` is the amount that the buyer
    must still pay, in minor units, as in Stripe's API. It is 0 if there is a problem or if the payment is a fee.
    """

    problem: str = ""
    left: int = 0


def check_amount(payment: Payment, reservation: Reservation) -> Verdict:
    """Compare the received amount with the requested amount and with the unpaid part of the reservation's price."""
    lines = list(reservation.lines.all())
    currency = lines[0].currency if lines else payment.currency
    received = money(payment.amount_received, payment.currency)
    price = money(sum(line.kept_amount for line in lines), currency)
    if not payment.is_as_asked:
        return Verdict(
            f"{received} received of {payment.formatted_amount} requested; the price is {price}"
        )
    if payment.purpose == Purpose.FEE:
        return Verdict()
    if payment.currency != currency:
        return Verdict(f"{received} received; the price is {price}")
    paid = sum_partial_payments(
        payment.reservation_id, currency=currency, except_payment=payment.pk
    )
    due = sum(line.kept_amount for line in lines) - payment.discount - paid.discount - paid.received
    left = due - payment.ticket_amount
    if left < 0 or (left > 0 and payment.purpose == Purpose.FULL):
        needed = money(due + payment.fee, currency)
        return Verdict(f"{received} received; {needed} needed; the price is {price}")
    return Verdict(left=left)
