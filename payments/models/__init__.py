"""Define payments, Stripe's webhook events, refunds, disputes, and mismatches between the portal and Stripe."""

from payments.models.disputes import Dispute
from payments.models.intents import Payment, PaymentStatus, TimelineEntry
from payments.models.mismatches import Mismatch, ReconciliationRun
from payments.models.outages import ProviderOutage
from payments.models.refunds import Refund
from payments.models.webhooks import RefusedDelivery, WebhookEvent

__all__ = [
    "Dispute",
    "Mismatch",
    "Payment",
    "PaymentStatus",
    "ProviderOutage",
    "ReconciliationRun",
    "Refund",
    "RefusedDelivery",
    "TimelineEntry",
    "WebhookEvent",
]
