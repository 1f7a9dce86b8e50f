"""Parse Stripe's payment intents, and decide which of two reports about an intent is newer.

All functions are pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# The metadata entry with this name contains the id of the portal's payment.
PAYMENT_METADATA_KEY = "ops_payment"

TERMINAL = frozenset({"succeeded", "canceled"})
# See https://docs.stripe.com/payments/paymentintents/lifecycle.
STATUSES = TERMINAL | {
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
}


class NotAnIntent(Exception):
    """The payload lacks a field that every payment intent has, or the field is invalid."""


@dataclass(frozen=True)
class Intent:
    id: str
    status: str
    amount: int
    currency: str
    amount_received: int
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str] = field(default_factory=dict)
    client_secret: str = field(default="", repr=False)

    @classmethod
    def from_stripe(cls, data: Mapping[str, Any]) -> "Intent":
        """Parse an intent in a payload from Stripe. Raises NotAnIntent if a field is missing or invalid."""
        try:
            status = str(data["status"])
            amount = int(data["amount"])
            received = data.get("amount_received")
            if received is None:
                received = amount if status == "succeeded" else 0
            if status not in STATUSES:
                raise NotAnIntent(f"unknown status {status[:30]!r}")
            return cls(
                id=str(data["id"]),
                status=status,
                amount=amount,
                currency=str(data["currency"]).upper(),
                amount_received=int(received),
                created_at=datetime.fromtimestamp(int(data["created"]), UTC),
                livemode=bool(data.get("livemode")),
                metadata=dict(data.get("metadata") or {}),
                client_secret=str(data.get("client_secret") or ""),
            )
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise NotAnIntent(f"not an intent: {type(error).__name__} {error}") from error

    @property
    def payment_uuid(self) -> str:
        """Return the id of the portal's payment, or "" if the portal did not create the intent."""
        return str(self.metadata.get(PAYMENT_METADATA_KEY, ""))


def is_newer(
    *, known: str, known_at: datetime | None, reported: str, reported_at: datetime
) -> bool | None:
    """Return True if the reported status replaces the known one, or None if only Stripe can decide.

    A terminal status is never replaced, and replaces any status that is not terminal. A known status is also replaced
    if it is not one of Stripe's or has no timestamp. Otherwise, the later timestamp wins. Stripe's timestamps have a
    resolution of one second. Statuses within the same second cannot be ordered, because an intent can also move
    backwards, for example after a declined card.
    """
    if reported == known:
        return False
    if known in TERMINAL:
        return False
    if reported in TERMINAL or known_at is None or known not in STATUSES:
        return True
    if reported_at == known_at:
        return None
    return reported_at > known_at
