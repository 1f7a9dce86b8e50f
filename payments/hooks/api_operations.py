"""Describe the payment API in OpenAPI; see core.lib.openapi."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from core.lib.currencies import MAX_CHARGE
from core.lib.openapi import IDEMPOTENCY_KEY, describe
from payments.views.api import CreatePayment

Amount = Annotated[int, msgspec.Meta(ge=0, le=MAX_CHARGE)]


class PaymentCreated(msgspec.Struct, forbid_unknown_fields=True):
    id: uuid.UUID
    intent: str
    client_secret: str
    status: str
    amount: Amount
    currency: str
    order_id: str
    reservation_id: str
    livemode: bool


class Payment(msgspec.Struct, forbid_unknown_fields=True):
    """A payment. `status` is Stripe's status of the intent, or `asked`, `refused` or `abandoned` if there is no intent.

    `shown_status` is the same, except that it is `refunded`, `partially_refunded` or `disputed` if that happened to the
    money of a successful payment.
    """

    id: uuid.UUID
    intent: str
    status: str
    shown_status: str
    amount: Amount
    amount_received: Amount
    amount_refunded: Amount
    amount_disputed: Amount
    currency: str
    order_id: str
    reservation_id: str
    purpose: Literal["full", "part", "deposit", "fee"]
    livemode: bool
    created_at: datetime


class EventReceived(msgspec.Struct, forbid_unknown_fields=True):
    received: bool
    duplicate: bool


describe(
    "payments:payment-create",
    "POST",
    "Create a payment. A repeat with the same key gets the same response.",
    scope="payments",
    is_frequent=True,
    takes=CreatePayment,
    answers={201: PaymentCreated},
    headers=IDEMPOTENCY_KEY,
    refusals={
        402: "The card was declined.",
        404: "There is no such reservation.",
        409: "`type` is `in-progress` (the first request with this key is still being processed), `reservation-closed`"
        " (with `status_now`), `payment-processing` (another payment for the reservation) or `abandoned`.",
        422: "The body is invalid, the key was used for another request (`key-reused`), or the amount is not the"
        " reservation's price (`amount-differs`, with `expected_amount`, `expected_currency`, `amount`, `currency`).",
        429: "Too many calls with this key, or `buyer-limit`: too many payment attempts by this buyer.",
        500: "An internal error; staff have been notified.",
        502: "Stripe rejects the portal's key.",
    },
)
describe(
    "payments:payment-read",
    "GET",
    "Return one of the app's payments.",
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
    refusals={404: "No such payment.", 409: "The payment can no longer be cancelled."},
)
for url, path_notes in (
    ("payments:webhook-receive", {}),
    ("payments:webhook-endpoint", {"endpoint": "The name in STRIPE_WEBHOOK_SECRETS."}),
):
    describe(
        url,
        "POST",
        "Receive an event from Stripe. The response is sent after the event is stored.",
        takes=dict,
        answers={200: EventReceived},
        headers={"Stripe-Signature": "Stripe's signature over the body."},
        refusals={
            400: "The signature is missing or wrong, or the body is not an event.",
            500: "The event was not stored; Stripe sends it again.",
            503: "No webhook secret is configured.",
        },
        path_notes=path_notes,
    )
