"""Signals sent inside the transaction that saves the payment, so that money and seats are saved together."""

from django.dispatch import Signal

payment_succeeded = Signal()  # payment=Payment, now=datetime
# payment=Payment, refund=Refund (the last one), now=datetime; sent when the full amount is refunded
payment_refunded = Signal()
refund_made = Signal()  # payment=Payment, refund=Refund, now=datetime
# payment=Payment, refund=Refund, now=datetime; the money of a refund that was made has come back
refund_failed = Signal()
dispute_closed = Signal()  # payment=Payment, dispute=Dispute, now=datetime
# payment=Payment, was=str, now=datetime; sent for every change of Stripe's status except to succeeded
payment_status_changed = Signal()
