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

    `intent` is null if there is no intent. If the money of a successful payment was refunded or disputed,
    `shown_status` is `refunded`, `partially_refunded` or `disputed`. Otherwise, it equals `status`.
    """

    id: uuid.UUID
    intent: str | None
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
    "Create a payment, and the payment intent at Stripe.",
    notes="Pass `client_secret` to Stripe.js, which lets the buyer pay. A repeated call with the same"
    " key returns the stored response and never charges a second time, so repeat the call after a"
    " timeout or a 5xx. With `reservation_id`, the amount must be the unpaid price of the reservation,"
    " unless `split` declares another purpose. When the payment succeeds, its reservation is"
    " completed automatically.",
    scope="payments",
    is_frequent=True,
    takes=CreatePayment,
    answers={201: PaymentCreated},
    headers=IDEMPOTENCY_KEY,
    refusals={
        402: "The card was declined.",
        404: "There is no such reservation.",
        409: "`type` is `in-progress` (the first request with this key is still being processed), `reservation-closed`"
        " (with `status_now`), `payment-processing` (another payment for the reservation) or `abandoned` (the first"
        " request with this key was not finished within 23 hours and created no payment; use a new key).",
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
    "Return a payment of the app, with its current status and amounts.",
    notes="Stripe's webhooks update the status, usually within seconds. `shown_status` also shows"
    " whether the money was refunded or disputed. The client secret is returned only when the"
    " payment is created.",
    scope="payments",
    answers={200: Payment},
    refusals={404: "There is no such payment."},
)
describe(
    "payments:payment-cancel",
    "POST",
    "Cancel a payment that has not been paid.",
    notes="The intent is cancelled at Stripe, so the buyer can no longer pay. If Stripe no longer"
    " allows a cancellation, for example because the payment has succeeded, the response is a"
    " 409. The reservation of the payment is not cancelled. A repeated call changes nothing.",
    scope="payments",
    answers={200: Payment},
    refusals={404: "There is no such payment.", 409: "The payment can no longer be cancelled."},
)
for url, path_notes in (
    ("payments:webhook-receive", {}),
    ("payments:webhook-endpoint", {"endpoint": "The name in STRIPE_WEBHOOK_SECRETS."}),
):
    describe(
        url,
        "POST",
        "Receive an event from Stripe. The response is sent after the event is stored.",
        notes="Enter this URL as a webhook endpoint in Stripe's dashboard. The signature is verified"
        " before the event is stored. An event that is already stored is only counted, and"
        " `duplicate` is true.",
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
