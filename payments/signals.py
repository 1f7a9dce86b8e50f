"""Define signals.

They are sent inside the transaction that saves the payment, so money and seats are saved together.
"""

from django.dispatch import Signal

payment_succeeded = Signal()  # Arguments: payment=Payment, now=datetime.
# Arguments: payment=Payment, refund=Refund (the last one), now=datetime. Sent when the full amount is refunded.
payment_refunded = Signal()
refund_made = Signal()  # Arguments: payment=Payment, refund=Refund, now=datetime.
# Arguments: payment=Payment, refund=Refund, now=datetime. Sent when the money of a refund has come back.
refund_failed = Signal()
dispute_closed = Signal()  # Arguments: payment=Payment, dispute=Dispute, now=datetime.
# Arguments: payment=Payment, was=str, now=datetime. Sent for every change of Stripe's status except to succeeded.
payment_status_changed = Signal()
