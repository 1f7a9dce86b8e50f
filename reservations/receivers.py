"""Update reservations when the payments app sends a signal.

The receivers run in the transaction that saves the payment, so that money and seats are saved together.
"""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from payments.models import Dispute, Payment, Refund
from payments.signals import (
    dispute_closed,
    payment_refunded,
    payment_status_changed,
    payment_succeeded,
    refund_failed,
    refund_made,
)
from reservations import services


@receiver(payment_succeeded)
def complete_reservation(
    sender: type[Payment], *, payment: Payment, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.complete_paid(payment=payment, now=now)


@receiver(payment_status_changed)
def follow_processing(sender: type[Payment], *, payment: Payment, now: datetime, **_: Any) -> None:
    if payment.reservation_id:
        services.follow_processing(payment=payment, now=now)


@receiver(refund_made)
def release_seats(
    sender: type[Refund], *, payment: Payment, refund: Refund, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.release_refunded(payment=payment, refund=refund, now=now)


@receiver(payment_refunded)
def review_reservation(
    sender: type[Payment], *, payment: Payment, refund: Refund, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.handle_refund(payment=payment, refund=refund, now=now)


@receiver(refund_failed)
def review_failed_refund(
    sender: type[Refund], *, payment: Payment, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.handle_failed_refund(payment=payment, now=now)


@receiver(dispute_closed)
def review_disputed_reservation(
    sender: type[Dispute], *, payment: Payment, dispute: Dispute, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.handle_closed_dispute(payment=payment, dispute=dispute, now=now)
