"""Make webhook calls with valid or forged signatures."""

import json
import time
from typing import Any

from django.test import Client

from payments import stripe_api

PATH = "/api/v1/webhooks/stripe/"
SECRET = "whsec_double"


def deliver(
    event: dict[str, Any] | str,
    *,
    secret: str = SECRET,
    age: int = 0,
    path: str = PATH,
    signature: str | None = None,
    **meta: Any,
) -> Any:
    """Deliver an event to the webhook endpoint, and return the response.

    By default, the event is signed with a timestamp `age` seconds in the past.
    """
    body = event if isinstance(event, str) else json.dumps(event)
    if signature is None:
        signature = stripe_api.sign(body, secret, int(time.time()) - age)
    headers = {"Stripe-Signature": signature} if signature else {}
    return Client().post(path, body, content_type="application/json", headers=headers, **meta)
