"""Handle the payment API for apps: create, read and cancel payments.

Creating a payment is idempotent. An app sees only its own payments.
"""

import ipaddress
import math
import uuid
from typing import Annotated, Literal

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api, idempotency_key_of
from core.clients.models import ClientApp, Scope
from core.lib.currencies import MAX_CHARGE
from core.lib.http import BadRequest, json_response, problem, read_json, refuse_email_address
from core.lib.scrub import scrub_text
from core.limits.buyers import seconds_to_wait
from payments import services, splits, stripe_api
from payments.models import Payment
from payments.money import find_amount_problem

Text = Annotated[str, msgspec.Meta(max_length=100)]
# Stripe accepts up to 50 entries, with keys of up to 40 and values of up to 500 characters. The portal adds up to three
# entries of its own.
Metadata = Annotated[
    dict[
        Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^(?!ops_)")],
        Annotated[str, msgspec.Meta(max_length=500)],
    ],
    msgspec.Meta(max_length=40),
]


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """The reason why the amount differs from the unpaid amount of the reservation."""

    reason: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=200, description="The reason, which staff can see."),
    ]
    purpose: Annotated[
        Literal["full", "part", "deposit", "fee"],
        msgspec.Meta(
            description="`full` pays the unpaid amount. `part` payments are added up until the reservation is paid. A"
            " `deposit` books the seats at once, and `part` payments pay the balance. A `fee` does not pay for seats."
        ),
    ] = "full"
    fee: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MAX_CHARGE, description="The share of the amount that does not pay for seats."
        ),
    ] = 0
    discount: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MAX_CHARGE, description="A reduction of the price, such as a voucher."
        ),
    ] = 0


class CreatePayment(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to create a payment. `amount` is an integer in minor units, as in Stripe's API."""

    amount: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHARGE)]
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$")]
    order_id: Text = ""
    reservation_id: uuid.UUID | None = None
    customer: Annotated[str, msgspec.Meta(max_length=200)] = ""
    client_address: Annotated[
        str,
        msgspec.Meta(
            max_length=45,
            description="The buyer's IP address. The portal uses it to limit the payment attempts per buyer, and does"
            " not store it.",
        ),
    ] = ""
    description: Annotated[str, msgspec.Meta(max_length=500)] = ""
    metadata: Metadata = {}
    split: Split | None = None

    def __post_init__(self) -> None:
        refuse_email_address("order_id", self.order_id)


class _TooManyAttempts(Exception):
    """The buyer has created too many payments within a minute."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


@api(Scope.PAYMENTS, "POST", cache_keys=True)
def create(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Respond with 201 and the client secret, or with the stored response if the key was used before."""
    body = read_json(request, CreatePayment)
    new_payment = _validated(body)

    def admit() -> None:
        wait = seconds_to_wait(
            app=app,
            customer=body.customer,
            client_address=body.client_address,
            path=request.path_info,
        )
        if wait:
            raise _TooManyAttempts(wait)

    key = idempotency_key_of(request) or services.derived_key(app=app, new_payment=new_payment)
    headers = {"Idempotency-Key": key}
    try:
        response = services.create_payment(
            app=app, new_payment=new_payment, key=key, now=timezone.now(), admit=admit
        )
    except _TooManyAttempts as refusal:
        return _too_many_requests(refusal.wait_seconds)
    except services.KeyReused:
        detail = "this idempotency key was used for another request"
        return problem(422, detail, type="key-reused", headers=headers)
    except services.NotPayable as refusal:
        return problem(
            refusal.status, str(refusal), type=refusal.type, headers=headers, **refusal.members
        )
    except services.InProgress:
        detail = "the first request with this key is still being processed"
        return problem(409, detail, type="in-progress", headers={**headers, "Retry-After": "1"})
    except services.StripeUnavailable as refusal:
        retry_after = str(math.ceil(refusal.retry_after))
        return problem(
            refusal.status,
            str(refusal),
            type="stripe-unavailable",
            headers={**headers, "Retry-After": retry_after},
        )
    except services.PortalFault:
        return problem(500, "internal error; staff have been notified", headers=headers)
    except stripe_api.NotConfigured:
        return _not_configured()
    if response.is_replay:
        headers["Idempotent-Replayed"] = "true"
    content_type = "application/json" if response.status < 300 else "application/problem+json"
    return HttpResponse(
        response.body, status=response.status, content_type=content_type, headers=headers
    )


@api(Scope.PAYMENTS, "GET")
def read(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    payment = Payment.objects.filter(app=app, uuid=reference).first()
    return json_response(as_json(payment)) if payment else problem(404, "there is no such payment")


@api(Scope.PAYMENTS, "POST")
def cancel(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    payment = Payment.objects.filter(app=app, uuid=reference).first()
    if payment is None:
        return problem(404, "there is no such payment")
    try:
        return json_response(as_json(services.cancel(payment=payment, now=timezone.now())))
    except stripe_api.NotConfigured:
        return _not_configured()
    except stripe_api.InvalidRequest as refusal:
        return problem(409, str(refusal), type="too-late", title="Not possible now")
    except stripe_api.StripeFailure as failure:
        retry_after = math.ceil(getattr(failure, "retry_after", 1.0))
        return problem(
            503, str(failure), type="stripe-unavailable", headers={"Retry-After": str(retry_after)}
        )


def as_json(payment: Payment) -> dict[str, object]:
    """Return the payment as JSON values, without the client secret.

    Only the response to a request to create the payment contains the client secret.
    """
    return {
        "id": payment.uuid,
        "intent": payment.intent_id,
        "status": payment.status,
        "shown_status": payment.shown_status,
        "amount": payment.amount,
        "amount_received": payment.amount_received,
        "amount_refunded": payment.amount_refunded,
        "amount_disputed": payment.amount_disputed,
        "currency": payment.currency,
        "order_id": payment.order_id,
        "reservation_id": payment.reservation_id,
        "purpose": payment.purpose,
        "livemode": payment.livemode,
        "created_at": payment.created_at,
    }


def _validated(body: CreatePayment) -> services.NewPayment:
    currency = body.currency.upper()
    reason = find_amount_problem(
        body.amount,
        currency,
        currencies=settings.PAYMENT_CURRENCIES,
        minimums=settings.PAYMENT_MINIMUMS,
    )
    if reason:
        raise BadRequest(reason, 422)
    if body.client_address and not _is_address(body.client_address):
        raise BadRequest("`client_address` is not an IP address", 422)
    split = body.split or Split(reason="")
    if body.split is not None and body.reservation_id is None:
        raise BadRequest("a split requires `reservation_id`", 422)
    if split.fee > body.amount:
        raise BadRequest("`fee` must not exceed `amount`", 422)
    return services.NewPayment(
        amount=body.amount,
        currency=currency,
        order_id=body.order_id,
        reservation_id=str(body.reservation_id or ""),
        customer=body.customer,
        description=body.description,
        metadata=body.metadata,
        split=splits.Split(
            splits.Purpose(split.purpose), split.fee, split.discount, scrub_text(split.reason)
        ),
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _too_many_requests(wait: float) -> HttpResponse:
    seconds = max(1, math.ceil(wait))
    return problem(
        429,
        f"too many payment attempts by this buyer; try again in {seconds} seconds",
        type="buyer-limit",
        headers={"Retry-After": str(seconds)},
        error="Too many requests",
        retryAfter=seconds,
    )


def _not_configured() -> HttpResponse:
    return problem(
        503,
        "payments are not configured on this portal; set STRIPE_SECRET_KEY",
        type="not-configured",
    )
