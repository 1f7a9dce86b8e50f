"""Stripe's part in the demonstration: the double the tests use too, buyers who pay it, and the events it sends."""

import hashlib
import hmac
import importlib.util
import json
import secrets
import time
from typing import Any

import httpx

from tests.payments.stripe_double import StripeDouble

WEBHOOKS = "/api/v1/webhooks/stripe/"


class Bank:
    """A stateful Stripe double. `Bank.open()` is None where its package (for development) is not installed."""

    def __init__(self, double: StripeDouble) -> None:
        self._double = double

    @classmethod
    def open(cls) -> "Bank | None":
        if importlib.util.find_spec("localstripe") is None:
            print("shop: no payments without localstripe (make install)", flush=True)
            return None
        return cls(StripeDouble())

    def close(self) -> None:
        self._double.close()

    @property
    def settings(self) -> dict[str, str]:
        """What the portal is told, as its owner would from Stripe's dashboard."""
        return {
            "STRIPE_API_BASE": self._double.base,
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_WEBHOOK_SECRETS": self._double.secret,
        }

    def pay(self, intent_id: str) -> dict[str, Any]:
        """The buyer's card is good: the event that says so."""
        return self._double.pay(intent_id)

    def decline(self, intent_id: str) -> dict[str, Any]:
        """The buyer's card is not."""
        intent = self._double.get(f"/v1/payment_intents/{intent_id}")
        intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
        return {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "type": "payment_intent.payment_failed",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": intent},
        }

    def tell(self, portal_url: str, event: dict[str, Any]) -> bool:
        """Send an event to the portal's webhook, signed as Stripe signs."""
        body, at = json.dumps(event), int(time.time())
        signed = hmac.new(self._double.secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
        headers = {
            "Stripe-Signature": f"t={at},v1={signed.hexdigest()}",
            "Content-Type": "application/json",
        }
        try:
            return httpx.post(
                portal_url + WEBHOOKS, content=body, headers=headers, timeout=10
            ).is_success
        except httpx.HTTPError:
            return False
