"""The payment API, described: see core.lib.openapi."""

import uuid
from datetime import datetime
from typing import Literal

import msgspec

from core.lib.openapi import IDEMPOTENCY_KEY, describe
from payments.views.api import CreatePayment


class PaymentCreated(msgspec.Struct, forbid_unknown_fields=True):
    id: uuid.UUID
    intent: str
    client_secret: str
    status: str
    amount: int
    currency: str
    order_id: str
    reservation_id: str
    livemode: bool


class Payment(msgspec.Struct, forbid_unknown_fields=True):
    """`status` is Stripe's word for the intent, or `asked`, `refused`, `abandoned` while there is none."""

    id: uuid.UUID
    intent: str
    status: str
    amount: int
    amount_received: int
    amount_refunded: int
    currency: str
    order_id: str
    reservation_id: str
    livemode: bool
    created_at: datetime


class EventReceived(msgspec.Struct, forbid_unknown_fields=True):
    received: Literal[True]
    duplicate: bool


describe(
    "payments:payment-create",
    "POST",
    "Create a payment; the same answer again for the same key.",
    scope="payments",
    takes=CreatePayment,
    answers={201: PaymentCreated},
    headers=IDEMPOTENCY_KEY,
    refusals={
        402: "Stripe refused the card.",
        409: "The first request with this key is still being worked on.",
        422: "Not what it takes, or the key was used for another request.",
        500: "A fault of the portal's; staff were told.",
        502: "The portal's key is refused by Stripe.",
    },
)
describe(
    "payments:payment-read",
    "GET",
    "A payment of the app's own.",
    scope="payments",
    answers={200: Payment},
    refusals={404: "No such payment."},
)
describe(
    "payments:payment-cancel",
    "POST",
    "Cancel a payment that has not been paid.",
    scope="payments",
    answers={200: Payment},
    refusals={404: "No such payment.", 409: "Too late."},
)
for url, path_notes in (
    ("payments:webhook-receive", {}),
    ("payments:webhook-endpoint", {"endpoint": "As named in STRIPE_WEBHOOK_SECRETS."}),
):
    describe(
        url,
        "POST",
        "Where Stripe calls: answered when the event is stored.",
        takes=dict,
        answers={200: EventReceived},
        headers={"Stripe-Signature": "Stripe's signature over the body."},
        refusals={
            400: "The signature is missing or wrong, or it is no event.",
            500: "Not stored; Stripe sends it again.",
            503: "No webhook secret is configured.",
        },
        path_notes=path_notes,
    )
