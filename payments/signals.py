"""Signals sent inside the transaction that saves the payment, so that money and seats are saved together."""

from django.dispatch import Signal

payment_succeeded = Signal()  # payment=Payment, now=datetime
payment_refunded = Signal()  # payment=Payment, now=datetime; sent when the full amount is refunded
