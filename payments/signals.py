"""Define the signals of payments.

A signal is sent inside the transaction that saves the payment, so money and seats are saved together.
"""

from django.dispatch import Signal

payment_succeeded = Signal()  # The arguments are payment=Payment, now=datetime.
# The arguments are payment=Payment, refund=Refund, now=datetime. The signal is sent when the full amount is refunded;
# `refund` is the last refund.
payment_refunded = Signal()
refund_made = Signal()  # The arguments are payment=Payment, refund=Refund, now=datetime.
# The arguments are payment=Payment, refund=Refund, now=datetime. The signal is sent when a refund fails, so that its
# money is back in the account.
refund_failed = Signal()
dispute_closed = Signal()  # The arguments are payment=Payment, dispute=Dispute, now=datetime.
# The arguments are payment=Payment, was=str, now=datetime. The signal is sent for every change of Stripe's status
# except the change to `succeeded`. `was` is the earlier status.
payment_status_changed = Signal()
