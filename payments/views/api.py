"""Payments for apps: create (idempotent), read, cancel. An app sees its own payments only."""

import math
import uuid
from typing import Annotated

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api, idempotency_key_of
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, problem, read_json
from payments import services, stripe_api
from payments.models import Payment
from payments.money import amount_problem

Text = Annotated[str, msgspec.Meta(max_length=100)]
# Stripe: up to 50 entries, keys to 40 and values to 500 characters; four entries are ours.
Metadata = Annotated[
    dict[
        Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^(?!ops_)")],
        Annotated[str, msgspec.Meta(max_length=500)],
    ],
    msgspec.Meta(max_length=40),
]


class CreatePayment(msgspec.Struct, forbid_unknown_fields=True):
    """`amount` in the currency's smallest unit: an integer, so that no rounding is ever in doubt."""

    amount: int
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$")]
    order_id: Text = ""
    reservation_id: uuid.UUID | None = None
    customer: Annotated[str, msgspec.Meta(max_length=200)] = ""
    description: Annotated[str, msgspec.Meta(max_length=500)] = ""
    metadata: Metadata = {}


@api(Scope.PAYMENTS, "POST", cache_keys=True)
def create(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """201 with the client secret; the same answer again for the same key."""
    asked = _validated(read_json(request, CreatePayment))
    key = idempotency_key_of(request) or services.derived_key(asked)
    headers = {"Idempotency-Key": key}
    try:
        answer = services.create_payment(app=app, asked=asked, key=key, now=timezone.now())
    except services.KeyReused:
        detail = "this idempotency key was used for another request"
        return problem(422, detail, type="key-reused", headers=headers)
    except services.InProgress:
        detail = "the first request with this key is still being worked on"
        return problem(409, detail, type="in-progress", headers={**headers, "Retry-After": "1"})
    except services.NotNow as refusal:
        wait = str(math.ceil(refusal.retry_after))
        return problem(
            refusal.status,
            str(refusal),
            type="stripe-unavailable",
            headers={**headers, "Retry-After": wait},
        )
    except services.BrokenPromise:
        return problem(500, "a fault of the portal's; staff were told", headers=headers)
    except stripe_api.NotConfigured:
        return _not_configured()
    if answer.is_replay:
        headers["Idempotent-Replayed"] = "true"
    kind = "application/json" if answer.status < 300 else "application/problem+json"
    return HttpResponse(answer.body, status=answer.status, content_type=kind, headers=headers)


@api(Scope.PAYMENTS, "GET")
def read(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    payment = Payment.objects.filter(app=app, uuid=reference).first()
    return json_response(as_json(payment)) if payment else problem(404, "no such payment")


@api(Scope.PAYMENTS, "POST")
def cancel(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    payment = Payment.objects.filter(app=app, uuid=reference).first()
    if payment is None:
        return problem(404, "no such payment")
    try:
        return json_response(as_json(services.cancel(payment=payment, now=timezone.now())))
    except stripe_api.NotConfigured:
        return _not_configured()
    except stripe_api.Rejected as refusal:
        return problem(409, str(refusal), type="too-late", title="Not possible now")
    except stripe_api.StripeTrouble as trouble:
        wait = math.ceil(getattr(trouble, "retry_after", 1.0))
        return problem(
            503, str(trouble), type="stripe-unavailable", headers={"Retry-After": str(wait)}
        )


def as_json(payment: Payment) -> dict[str, object]:
    """Never with the client secret: only the answer to the creation carries that."""
    return {
        "id": payment.uuid,
        "intent": payment.intent_id,
        "status": payment.status,
        "amount": payment.amount,
        "amount_received": payment.amount_received,
        "amount_refunded": payment.amount_refunded,
        "currency": payment.currency,
        "order_id": payment.order_id,
        "reservation_id": payment.reservation_id,
        "livemode": payment.livemode,
        "created_at": payment.created_at,
    }


def _validated(asked: CreatePayment) -> services.NewPayment:
    currency = asked.currency.upper()
    wrong = amount_problem(
        asked.amount,
        currency,
        currencies=settings.PAYMENT_CURRENCIES,
        minimums=settings.PAYMENT_MINIMUMS,
    )
    if wrong:
        raise BadRequest(wrong, 422)
    return services.NewPayment(
        amount=asked.amount,
        currency=currency,
        order_id=asked.order_id,
        reservation_id=str(asked.reservation_id or ""),
        customer=asked.customer,
        description=asked.description,
        metadata=asked.metadata,
    )


def _not_configured() -> HttpResponse:
    return problem(
        503, "payments are not configured here: set STRIPE_SECRET_KEY", type="not-configured"
    )
