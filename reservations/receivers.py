"""Receivers of payment signals. They run inside the transaction that saves the payment."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from payments.models import Payment
from payments.signals import payment_refunded, payment_succeeded
from reservations import services


@receiver(payment_succeeded)
def complete_reservation(
    sender: type[Payment], *, payment: Payment, now: datetime, **_: Any
) -> None:
    if payment.reservation_id:
        services.complete_paid(payment=payment, now=now)


@receiver(payment_refunded)
def review_reservation(sender: type[Payment], *, payment: Payment, now: datetime, **_: Any) -> None:
    if payment.reservation_id:
        services.handle_refund(payment=payment, now=now)
