"""Sent inside the transaction that saves what they tell, so that money and seat are saved together."""

from django.dispatch import Signal

payment_succeeded = Signal()  # payment=Payment, now=datetime
payment_refunded = Signal()  # payment=Payment, now=datetime: all of it went back
