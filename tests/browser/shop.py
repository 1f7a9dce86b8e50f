"""Reserve tickets, start payments and pay in browser tests, as a shop's app and Stripe do."""

import json
import time
from typing import Any

import httpx

from payments import stripe_api
from tests.payments.stripe_double import StripeDouble
from tests.servers.portal import Portal


def call(portal: Portal, path: str, body: object) -> Any:
    answer = httpx.post(portal.base_url + path, json=body, headers=portal.api, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()


def start_payment(portal: Portal, reservation: str, order: str, **fields: object) -> Any:
    """Create a payment for the reservation. The amount is 25.00 EUR unless `fields` contain another amount."""
    body = {"amount": 2500, "currency": "EUR", "reservation_id": reservation, "order_id": order}
    return call(portal, "/api/v1/payments/", {**body, **fields})


def pay(portal: Portal, double: StripeDouble, payment: Any) -> None:
    """Pay at the Stripe double, and deliver the event of the payment to the portal."""
    event = json.dumps(double.pay(payment["intent"]))
    answer = httpx.post(
        f"{portal.base_url}/api/v1/webhooks/stripe/",
        content=event,
        headers={"Stripe-Signature": stripe_api.sign(event, double.secret, int(time.time()))},
    )
    assert answer.status_code == 200, answer.text
    status = "SELECT status FROM payment_intents_log WHERE intent_id = %s"
    portal.wait_for(
        lambda: portal.value(status, (payment["intent"],)) == "succeeded", 60, "the payment"
    )
