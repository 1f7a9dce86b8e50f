"""Stripe's payment intent as we use it, and which of two pieces of news about one is the later. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

OURS = "ops_payment"  # the metadata entry that says which payment of ours an intent belongs to

# How far along an intent is. Stripe may deliver its events in any order.
_RANKS = {
    "requires_payment_method": 0,
    "requires_confirmation": 1,
    "requires_action": 2,
    "processing": 3,
    "requires_capture": 4,
    "succeeded": 5,
    "canceled": 5,
}
TERMINAL = frozenset({"succeeded", "canceled"})


class NotAnIntent(Exception):
    """A payload that lacks what every payment intent has."""


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
    def of(cls, data: Mapping[str, Any]) -> "Intent":
        """Raises NotAnIntent."""
        try:
            status = str(data["status"])
            amount = int(data["amount"])
            received = data.get("amount_received")
            if received is None:
                received = amount if status == "succeeded" else 0
            if status not in _RANKS:
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
        return str(self.metadata.get(OURS, ""))


def is_news(*, known: str, known_at: datetime | None, told: str, told_at: datetime) -> bool | None:
    """Whether what we are told replaces what we know. None: the clock cannot tell, so ask Stripe.

    A terminal status never gives way, and always replaces one that is not. Otherwise the later second counts;
    within one second, a higher rank may still be the older news (a declined card goes back to the start).
    """
    if told == known:
        return False
    if known in TERMINAL:
        return False
    if told in TERMINAL or known_at is None or known not in _RANKS:
        return True
    if told_at == known_at:
        return None
    return told_at > known_at
