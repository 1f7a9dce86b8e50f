"""Define the faults that affect orders, with the case and the alerts that each must lead to."""

import random

from payments.models import Mismatch
from reservations.models import Discrepancy

# Maps each fault to the kind of case that it must open, or to "" if it must open none.
FAULTS: dict[str, str] = {
    "response lost": "",
    "killed while creating": "",
    "events lost": "",
    "events shuffled and repeated": "",
    # An unreadable event raises an alert about the event, and opens no case for the order.
    "unreadable event": "",
    "paid late": "",
    "paid late, sold out": Discrepancy.Kind.SOLD_OUT,
    "paid twice": Discrepancy.Kind.SECOND_PAYMENT,
    "captured in part": Discrepancy.Kind.AMOUNT,
    "bank debit": "",
    "bank debit fails": "",
    "refunded by staff": "",
    "refunded at Stripe": Discrepancy.Kind.SEAT_WITHOUT_MONEY,
    "refund fails": Mismatch.Kind.REFUND_FAILED,
    "refund request lost": Mismatch.Kind.REFUND_FAILED,
    "refund response lost": "",
    "dispute won": "",
    "dispute lost": Discrepancy.Kind.DISPUTE_LOST,
    "inquiry": "",
    "unknown here": Mismatch.Kind.MISSING,
}
# Maps a fault to the types of alerts about its order that it explains. All other alerts about orders are false alarms.
ALERTS: dict[str, set[str]] = {
    "paid late, sold out": {"money-without-seat"},
    "paid twice": {"money-without-seat"},
    "captured in part": {"seat-and-money-differ"},
    "bank debit fails": {"debit-failed"},
    "refunded at Stripe": {"seat-and-money-differ"},
    "refund fails": {"payment-mismatch"},
    "refund request lost": {"payment-mismatch"},
    "dispute won": {"payment-dispute"},
    "dispute lost": {"payment-dispute", "seat-and-money-differ"},
    "inquiry": {"payment-dispute"},
    "unknown here": {"payment-mismatch"},
}
# Maps alert types about the connection to Stripe, instead of an order, to the faults that explain them.
CONNECTION_ALERTS = {"webhooks-missing": "events lost", "dead-webhook": "unreadable event"}
OUTAGE_ALERTS = {"payments-stuck", "webhooks-late", "webhooks-missing"}
GAVE_UP = "gave up during the outage"


def plan_faults(count: int, share: float, random_: random.Random) -> list[str]:
    """Return each order's fault, or "" for none. Each kind of fault affects `share` of the orders, but at least one."""
    each = max(1, round(count * share))
    plan = [fault for fault in FAULTS for _ in range(each)]
    plan += [""] * (count - len(plan))
    random_.shuffle(plan)
    return plan
