"""Everything that changes a payment, and what Stripe tells us."""

from payments.services.cancel import cancel
from payments.services.create import (
    Answer,
    BrokenPromise,
    InProgress,
    KeyReused,
    NewPayment,
    NotNow,
    create_payment,
    derived_key,
)
from payments.services.mismatches import settle_mismatch
from payments.services.reconcile import fetch_missing, reconcile
from payments.services.refund import CannotRefund, refund
from payments.services.sweep import reap_keys, sweep
from payments.services.webhooks.process import process_event, process_waiting
from payments.services.webhooks.prune import prune_events
from payments.services.webhooks.receive import Received, record_event, replay_event, set_aside

__all__ = [
    "Answer",
    "BrokenPromise",
    "CannotRefund",
    "InProgress",
    "KeyReused",
    "NewPayment",
    "NotNow",
    "Received",
    "cancel",
    "create_payment",
    "derived_key",
    "fetch_missing",
    "process_event",
    "process_waiting",
    "prune_events",
    "reap_keys",
    "reconcile",
    "record_event",
    "refund",
    "replay_event",
    "set_aside",
    "settle_mismatch",
    "sweep",
]
