"""Payments (intents), Stripe's events (webhooks), refunds by staff (refunds), and differences from Stripe (mismatches)."""

from payments.models.intents import Payment, PaymentStatus, TimelineEntry
from payments.models.mismatches import Mismatch, ReconciliationRun
from payments.models.refunds import Refund
from payments.models.webhooks import RefusedDelivery, WebhookEvent

__all__ = [
    "Mismatch",
    "Payment",
    "PaymentStatus",
    "ReconciliationRun",
    "Refund",
    "RefusedDelivery",
    "TimelineEntry",
    "WebhookEvent",
]
