"""Simulate Stripe in the demo: a test double, payments by buyers, and webhook events."""

import hashlib
import hmac
import importlib.util
import json
import secrets
import time
from typing import Any

import httpx

from tests.payments.stripe_double import Reply, StripeDouble

WEBHOOKS = "/api/v1/webhooks/stripe/"
PAY = "/demo/pay/"  # A POST to this path with an intent's id pays the intent.


class Bank:
    """A Stripe double whose intents the shop pays. `Bank.open()` returns None if the package localstripe is missing."""

    def __init__(self, double: StripeDouble) -> None:
        self._double = double

    @classmethod
    def open(cls, portal_url: str) -> "Bank | None":
        if importlib.util.find_spec("localstripe") is None:
            print(
                "shop: payments are disabled because localstripe is not installed (make install)",
                flush=True,
            )
            return None
        return cls(PayingDouble(portal_url))

    def close(self) -> None:
        self._double.close()

    @property
    def base_url(self) -> str:
        return self._double.base

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings that connect the portal to the double."""
        return {
            "STRIPE_API_BASE": self._double.base,
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_WEBHOOK_SECRETS": self._double.secret,
        }

    def pay(self, intent_id: str) -> dict[str, Any]:
        """Pay the intent with a valid card and return the event."""
        try:
            return self._double.pay(intent_id)
        finally:
            self._double.hang_up()

    def decline(self, intent_id: str) -> dict[str, Any]:
        """Decline the buyer's card and return the event."""
        try:
            intent = self._double.get(f"/v1/payment_intents/{intent_id}")
        finally:
            self._double.hang_up()
        intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
        return {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "type": "payment_intent.payment_failed",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": intent},
        }

    def send_event(self, portal_url: str, event: dict[str, Any]) -> bool:
        """Send a signed event to the portal's webhook and return True if the portal accepted it."""
        return _send_event(portal_url, event, self._double.secret)


class PayingDouble(StripeDouble):
    """A Stripe double that pays an intent on request, for the examples, which have no checkout page."""

    def __init__(self, portal_url: str) -> None:
        super().__init__()
        self._portal_url = portal_url

    def serve(self, method: str, target: str, body: bytes, key: str) -> Reply | None:
        if method != "POST" or not target.startswith(PAY):
            return super().serve(method, target, body, key)
        event = self.pay(target.removeprefix(PAY))
        is_sent = _send_event(self._portal_url, event, self.secret)
        answer = json.dumps({"paid": True, "event_sent": is_sent}).encode()
        return 200, {"Content-Type": "application/json"}, answer


def _send_event(portal_url: str, event: dict[str, Any], secret: str) -> bool:
    body, at = json.dumps(event), int(time.time())
    signed = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
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
