"""Parse Stripe's refunds and disputes. All functions are pure."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# The metadata entry with this name contains the id of the portal's refund.
REFUND_METADATA_KEY = "ops_refund"


class NotAReversal(Exception):
    """The payload lacks a field that every refund or dispute has, or the field is invalid."""


@dataclass(frozen=True)
class StripeRefund:
    id: str
    status: str  # One of pending, requires_action, succeeded, failed and canceled.
    amount: int
    intent_id: str
    created_at: datetime
    failure_reason: str = ""
    # None if the refund was made at Stripe.
    refund_uuid: uuid.UUID | None = None

    @classmethod
    def from_stripe(cls, data: Mapping[str, Any]) -> "StripeRefund":
        """Parse a refund in a payload from Stripe. Raises NotAReversal if a field is missing or invalid."""
        try:
            return cls(
                id=str(data["id"]),
                status=str(data["status"] or "pending"),
                amount=int(data["amount"]),
                intent_id=str(data.get("payment_intent") or ""),
                created_at=datetime.fromtimestamp(int(data["created"]), UTC),
                failure_reason=str(data.get("failure_reason") or ""),
                refund_uuid=_parse_uuid((data.get("metadata") or {}).get(REFUND_METADATA_KEY)),
            )
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise NotAReversal(f"not a refund: {type(error).__name__} {error}") from error

    @property
    def is_effective(self) -> bool:
        """Return True if the money has left the account."""
        return self.status not in ("failed", "canceled")


@dataclass(frozen=True)
class StripeDispute:
    id: str
    status: str
    amount: int
    currency: str
    reason: str
    intent_id: str
    created_at: datetime
    evidence_due_at: datetime | None = None
    # None while Stripe has not withdrawn the money, as for an inquiry.
    withdrawn_at: datetime | None = None

    @classmethod
    def from_stripe(cls, data: Mapping[str, Any]) -> "StripeDispute":
        """Parse a dispute in a payload from Stripe. Raises NotAReversal if a field is missing or invalid."""
        try:
            due = (data.get("evidence_details") or {}).get("due_by")
            withdrawals = [
                int(one["created"])
                for one in data.get("balance_transactions") or []
                if isinstance(one, Mapping) and "created" in one and int(one.get("amount", 0)) < 0
            ]
            return cls(
                id=str(data["id"]),
                status=str(data["status"]),
                amount=int(data["amount"]),
                currency=str(data["currency"]).upper(),
                reason=str(data.get("reason") or ""),
                intent_id=str(data.get("payment_intent") or ""),
                created_at=datetime.fromtimestamp(int(data["created"]), UTC),
                evidence_due_at=datetime.fromtimestamp(int(due), UTC) if due else None,
                withdrawn_at=(
                    datetime.fromtimestamp(min(withdrawals), UTC) if withdrawals else None
                ),
            )
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise NotAReversal(f"not a dispute: {type(error).__name__} {error}") from error


def _parse_uuid(given: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(given))
    except ValueError:
        return None
