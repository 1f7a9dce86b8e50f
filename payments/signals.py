"""Define the signals of payments.

Signals are sent inside the transaction that saves the payment, so that money and seats are saved together.
"""

from django.dispatch import Signal

payment_succeeded = Signal()  # Sends payment=Payment, now=datetime.
# Sends payment=Payment, refund=Refund, now=datetime when the full amount has been refunded. `refund` is the last
# refund.
payment_refunded = Signal()
refund_made = Signal()  # Sends payment=Payment, refund=Refund, now=datetime.
# Sends payment=Payment, refund=Refund, now=datetime when a counted refund fails, so that its money is back in the
# account.
refund_failed = Signal()
dispute_closed = Signal()  # Sends payment=Payment, dispute=Dispute, now=datetime.
# Sends payment=Payment, was=str, now=datetime when apply_intent() sets another status than `succeeded`. `was` is the
# earlier status. The status in the response to the creation of the intent is stored without a signal.
payment_status_changed = Signal()
