"""Create a payment intent exactly once per idempotency key, whatever is clicked twice, lost or killed.

The row is inserted, with a lease, before Stripe is called, and finished after it. Whoever finds it unfinished with a
dead lease takes over and sends the same request under the same Stripe key: Stripe then answers with the same intent.
No transaction is open while Stripe is called.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from opsportal.clients.models import ClientApp
from opsportal.lib import request_id
from opsportal.lib.durability import quick_commit
from payments import stripe_api
from payments.customers import customer_reference
from payments.intents import Intent
from payments.models import Payment, PaymentStatus
from payments.services import attempt
from payments.services.apply import note

LEASE = timedelta(seconds=30)


@dataclass(frozen=True)
class NewPayment:
    """What an app asks for, validated."""

    amount: int
    currency: str
    order_id: str = ""
    reservation_id: str = ""
    customer: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of method, route and body, so that a key that comes with something else is noticed."""
        canonical = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(b"POST /api/v1/payments/ " + canonical).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What the app is told, and told again at each repeat."""

    status: int
    body: str
    key: str
    is_replay: bool = False


class KeyReused(Exception):
    """The key came with another request before."""


class InProgress(Exception):
    """The first request with this key is still being worked on."""


class NotNow(Exception):
    """Stripe cannot be asked or did not answer; a repeat with the same key is safe."""

    def __init__(self, detail: str, *, status: int = 503, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class BrokenPromise(Exception):
    """Stripe knows our key with other parameters: a fault of the portal's."""


def derived_key(asked: NewPayment) -> str:
    """For an app that sends none: one payment of this amount per reservation."""
    if not asked.reservation_id:
        return str(uuid.uuid4())
    text = f"{asked.reservation_id} {asked.amount} {asked.currency}"
    return "auto_" + hashlib.sha256(text.encode()).hexdigest()[:40]


def create_payment(*, app: ClientApp, asked: NewPayment, key: str, now: datetime) -> Answer:
    """The answer to give, stored with the key.

    Raises KeyReused, InProgress, NotNow, BrokenPromise, stripe_api.NotConfigured; none of these is stored.
    """
    if not stripe_api.is_configured():
        raise stripe_api.NotConfigured("payments are not configured")
    known = _known(app, key)
    if known is not None:
        return _repeat(known, asked, now)
    try:
        stripe_api.require_ready()
    except stripe_api.NoAnswer as trouble:
        raise NotNow(str(trouble), retry_after=trouble.retry_after) from None
    owner = uuid.uuid4().hex
    payment = Payment(
        app=app,
        livemode=stripe_api.livemode(),
        key=key,
        fingerprint=asked.fingerprint,
        owner=owner,
        locked_until=now + LEASE,
        amount=asked.amount,
        currency=asked.currency,
        order_id=asked.order_id,
        reservation_id=asked.reservation_id,
        customer=customer_reference(asked.customer),
        request_id=request_id.current(),
        request_body={"description": asked.description, "metadata": asked.metadata},
        created_at=now,
        expires_at=now + timedelta(hours=min(72, settings.PAYMENT_KEY_HOURS)),
    )
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError:
        # Another request with this key was quicker, by less than a transaction.
        known = _known(app, key)
        if known is None:
            raise
        return _repeat(known, asked, now)
    return finish(payment, now=now)


def _known(app: ClientApp, key: str) -> Payment | None:
    """The payment under this key, with what a repeat's answer needs of it."""
    found = Payment.objects.filter(app=app, livemode=stripe_api.livemode(), key=key)
    found = found.only("key", "fingerprint", "state", "response_status", "response_body")
    return next(iter(found[:1]), None)


def _repeat(payment: Payment, asked: NewPayment, now: datetime) -> Answer:
    if payment.fingerprint != asked.fingerprint:
        raise KeyReused
    if payment.state == Payment.State.FINISHED:
        with quick_commit():
            Payment.objects.filter(pk=payment.pk).update(replay_count=F("replay_count") + 1)
        return _stored(payment, is_replay=True)
    owner = uuid.uuid4().hex
    if not Payment.objects.all().claim(payment.pk, owner=owner, now=now, until=now + LEASE):
        with quick_commit():
            Payment.objects.filter(pk=payment.pk).update(conflict_count=F("conflict_count") + 1)
        raise InProgress
    payment = Payment.objects.get(pk=payment.pk)  # all of it
    note(payment, "taken over", f"try {payment.tries}, by a repeat", now=now)
    return finish(payment, now=now)


def finish(payment: Payment, *, now: datetime) -> Answer:
    """Ask Stripe and store the answer. The caller holds the payment's lease."""
    try:
        intent = attempt.ask(payment, now=now)
    except stripe_api.CardRefused as refusal:
        body = _refusal_body(payment, 402, "card-refused", str(refusal))
        body |= {"code": refusal.code, "decline_code": refusal.decline_code}
        return _store(payment, 402, body, status=PaymentStatus.REFUSED, error=str(refusal), now=now)
    except stripe_api.Rejected as refusal:
        body = _refusal_body(payment, 400, "rejected", str(refusal))
        body |= {"code": refusal.code, "parameter": refusal.parameter}
        return _store(payment, 400, body, status=PaymentStatus.REFUSED, error=str(refusal), now=now)
    except stripe_api.StripeTrouble as trouble:
        attempt.let_go(payment, trouble, now=now)
        raise _not_stored(trouble) from None
    return store_intent(payment, intent, now=now)


def _not_stored(trouble: stripe_api.StripeTrouble) -> Exception:
    match trouble:
        case stripe_api.KeyClash():
            return BrokenPromise(str(trouble))
        case stripe_api.KeyInUse():
            return InProgress()
        case stripe_api.KeyNotAccepted():
            return NotNow(str(trouble), status=502, retry_after=60.0)
        case stripe_api.NoAnswer():
            return NotNow(str(trouble), retry_after=trouble.retry_after)
        case _:
            return NotNow(str(trouble))


def store_intent(payment: Payment, intent: Intent, *, now: datetime) -> Answer:
    """Finish the payment with the intent Stripe has for it."""
    body = {
        "id": str(payment.uuid),
        "intent": intent.id,
        "client_secret": intent.client_secret,
        "status": intent.status,
        "amount": intent.amount,
        "currency": intent.currency,
        "order_id": payment.order_id,
        "reservation_id": payment.reservation_id,
        "livemode": payment.livemode,
    }
    return _store(payment, 201, body, intent=intent, now=now)


def abandon(payment: Payment, *, now: datetime) -> Answer:
    """Finish a payment of which Stripe knows nothing, too old to be sent again."""
    body = _refusal_body(
        payment, 409, "abandoned", "this payment was never made; start again with a new key"
    )
    return _store(payment, 409, body, status=PaymentStatus.ABANDONED, error="abandoned", now=now)


def _store(
    payment: Payment,
    response_status: int,
    body: dict[str, object],
    *,
    intent: Intent | None = None,
    status: PaymentStatus | None = None,
    error: str = "",
    now: datetime,
) -> Answer:
    text = msgspec.json.encode(body).decode()
    mine = Payment.objects.unfinished().filter(pk=payment.pk, owner=payment.owner)
    with transaction.atomic():
        stored = mine.update(
            state=Payment.State.FINISHED,
            response_status=response_status,
            response_body=text,
            finished_at=now,
            error=error[:300],
            **({"intent_id": intent.id} if intent else {}),
        )
        if stored:
            # News by webhook may have come before the answer did, and is the later then.
            asked = Payment.objects.filter(pk=payment.pk, status=PaymentStatus.ASKED)
            if intent:
                asked.update(status=intent.status, status_at=intent.created_at)
            elif status:
                asked.update(status=status, status_at=now)
    payment.refresh_from_db()
    if payment.state != Payment.State.FINISHED:
        raise InProgress  # our lease ran out, and whoever took over is not done yet
    return _stored(payment, is_replay=not stored)


def _stored(payment: Payment, *, is_replay: bool) -> Answer:
    return Answer(
        payment.response_status or 500, payment.response_body, payment.key or "", is_replay
    )


def _refusal_body(payment: Payment, status: int, type_: str, detail: str) -> dict[str, object]:
    """A problem (RFC 9457), kept with the payment so that repeats get the same."""
    return {
        "type": type_,
        "title": "Payment refused",
        "status": status,
        "detail": detail,
        "request_id": payment.request_id,
        "payment": str(payment.uuid),
    }
