"""Change payments, refunds, mismatches and webhook events."""

from payments.services.cancel import cancel
from payments.services.create import (
    InProgress,
    KeyReused,
    NewPayment,
    PortalFault,
    StoredResponse,
    StripeUnavailable,
    create_payment,
    derived_key,
)
from payments.services.mismatches import settle_mismatch
from payments.services.outages import check_provider
from payments.services.payable import NotPayable
from payments.services.reconciliation.events import fetch_missing_event
from payments.services.reconciliation.runs import continue_reconciliation, reconcile
from payments.services.refund import CannotRefund, NewRefund, refund
from payments.services.sweep import reap_keys, sweep
from payments.services.webhooks.process import process_event, process_waiting
from payments.services.webhooks.prune import prune_events
from payments.services.webhooks.receive import Received, ignore_event, record_event, replay_event

__all__ = [
    "CannotRefund",
    "InProgress",
    "KeyReused",
    "NewPayment",
    "NewRefund",
    "NotPayable",
    "PortalFault",
    "Received",
    "StoredResponse",
    "StripeUnavailable",
    "cancel",
    "check_provider",
    "continue_reconciliation",
    "create_payment",
    "derived_key",
    "fetch_missing_event",
    "ignore_event",
    "process_event",
    "process_waiting",
    "prune_events",
    "reap_keys",
    "reconcile",
    "record_event",
    "refund",
    "replay_event",
    "settle_mismatch",
    "sweep",
]
