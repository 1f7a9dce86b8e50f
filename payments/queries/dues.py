"""Add up the partial payments of a reservation, to determine its unpaid amount."""

from dataclasses import dataclass

from payments.models import Payment, PaymentStatus
from payments.splits import Purpose

ADDED_UP = [purpose for purpose in Purpose if purpose.adds_up]


@dataclass(frozen=True)
class Paid:
    """The sums of a reservation's partial payments, without fees, refunds and disputed amounts."""

    received: int = 0
    # The buyer's bank is debiting this amount, so it must not be paid a second time.
    processing: int = 0
    discount: int = 0


def sum_partial_payments(reservation_id: str, *, currency: str, except_payment: int = 0) -> Paid:
    """Add up the deposits and partial payments that were received in full, and all payments in processing.

    Payments in another currency and the payment with the primary key `except_payment` are left out.
    """
    received = processing = discount = 0
    payments = Payment.objects.filter(
        reservation_id=reservation_id,
        currency=currency,
        status__in=[PaymentStatus.SUCCEEDED, PaymentStatus.PROCESSING],
    ).exclude(pk=except_payment)
    for payment in payments:
        if payment.status == PaymentStatus.PROCESSING:
            processing += payment.ticket_amount
        elif payment.purpose in ADDED_UP and payment.is_as_asked:
            received += max(0, payment.amount_net - payment.fee)
            discount += payment.discount
    return Paid(received, processing, discount)
