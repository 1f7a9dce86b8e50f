"""Create a payment intent at most once per idempotency key, despite double clicks, lost responses and crashes.

The payment's row is inserted with a lease before Stripe is called, and is finished afterwards. If the lease expires
first, a later request or the sweeper takes over the row and sends the same request with the same idempotency key to
Stripe, which returns the same intent. After 23 hours, the request is not sent again, and the sweeper only looks for the
intent. No transaction is open during a call to Stripe.
"""

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from core.clients.models import ClientApp
from core.lib import request_id
from core.lib.customers import customer_reference
from core.lib.durability import ensure_replicated, relaxed_durability
from core.lib.fingerprints import is_same_request, keyed_fingerprint
from core.lib.lease_owner import new_owner
from core.lib.scrub import scrub_text
from payments import stripe_api
from payments.intents import Intent
from payments.models import Payment, PaymentStatus
from payments.models.intents import NEVER_RESEND_AFTER
from payments.services import attempt
from payments.services.apply import add_timeline_entry
from payments.services.payable import require_payable
from payments.splits import NO_SPLIT, Purpose, Split

ORGANIZATION_KEYS = ("organization_id", "organization", "organisation_id", "organisation", "org_id")
LEASE = timedelta(seconds=30)
# A run of the sweeper starts attempts for 25 s, and is ended after 50 s.
MAX_SEARCH = timedelta(seconds=15)
MAX_SEARCH_IN_REQUEST = timedelta(seconds=2)
ENDED_UNPAID = (PaymentStatus.CANCELED, PaymentStatus.REFUSED, PaymentStatus.ABANDONED)


@dataclass(frozen=True)
class NewPayment:
    """An app's validated request to create a payment."""

    amount: int
    currency: str
    order_id: str = ""
    reservation_id: str = ""
    customer: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    split: Split = NO_SPLIT

    @property
    def organization(self) -> str:
        """Return the organization named in the metadata, or "" if there is none."""
        return next((self.metadata[key] for key in ORGANIZATION_KEYS if key in self.metadata), "")[
            :200
        ]

    @property
    def digest(self) -> str:
        """Return a hash of the request, which shows if a key is used again for a different request."""
        body = {name: getattr(self, name) for name in _HASHED}
        body["metadata"] = dict(sorted(self.metadata.items()))
        if self.split != NO_SPLIT:
            body["split"] = self.split
        canonical = msgspec.json.encode(body)
        return hashlib.sha256(b"POST /api/v1/payments/ " + canonical).hexdigest()


# Do not change this tuple, because stored digests of earlier requests must stay comparable. For the same reason,
# `digest` adds `split` only if it is set.
_HASHED = ("amount", "currency", "order_id", "reservation_id", "customer", "description")


@dataclass(frozen=True)
class StoredResponse:
    """The response to the app, which repetitions of the request with the same key receive as well."""

    status: int
    body: str
    key: str
    is_replay: bool = False


class KeyReused(Exception):
    """The key was used for a different request before."""


class InProgress(Exception):
    """The first request with this key is still being processed."""


class StripeUnavailable(Exception):
    """Stripe cannot be called or did not respond. Repeating the request with the same key is safe."""

    def __init__(self, detail: str, *, status: int = 503, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class PortalFault(Exception):
    """The payment's idempotency key was sent to Stripe with other parameters before, which is a bug in the portal."""


def derived_key(*, app: ClientApp, new_payment: NewPayment) -> str:
    """Return an idempotency key for a request that has none.

    For a reservation, the key allows one payment of the same amount at a time. It depends on the number of earlier
    payments that have ended, so that a buyer whose payment was cancelled or refused gets a new payment. A declared
    partial payment also ends when it succeeds, because the next one may have the same amount. Without a reservation,
    the key is random.
    """
    if not new_payment.reservation_id:
        return str(uuid.uuid4())
    purpose = new_payment.split.purpose
    ended = ENDED_UNPAID if purpose == Purpose.FULL else (*ENDED_UNPAID, PaymentStatus.SUCCEEDED)
    generation = Payment.objects.filter(
        app=app,
        livemode=stripe_api.is_livemode(),
        reservation_id=new_payment.reservation_id,
        status__in=ended,
    ).count()
    text = f"{new_payment.reservation_id} {new_payment.amount} {new_payment.currency}"
    if generation or purpose != Purpose.FULL:
        text += f" {purpose} {generation}"
    return "auto_" + hashlib.sha256(text.encode()).hexdigest()[:40]


def create_payment(
    *,
    app: ClientApp,
    new_payment: NewPayment,
    key: str,
    now: datetime,
    admit: Callable[[], None] = lambda: None,
) -> StoredResponse:
    """Create the payment and return the response, which is stored with the key.

    `admit` is called only if the key is new, and may raise an exception to refuse the payment.

    Raises KeyReused if the key belongs to a different request, and InProgress if the first request with the key is not
    finished, or is so old that the sweeper must finish it. Raises NotPayable if the payment does not fit its
    reservation. Raises StripeUnavailable, PortalFault or stripe_api.NotConfigured if the portal cannot create the
    intent. These exceptions are not stored with the key, so the client can try again.
    """
    if not stripe_api.is_configured():
        raise stripe_api.NotConfigured("payments are not configured")
    existing = _find_by_key(app, key)
    if existing is not None:
        return _answer_repeat(existing, new_payment, now)
    admit()
    # Check after the lookup: a repeated request gets the stored response even if the reservation has been paid since.
    require_payable(
        reservation_id=new_payment.reservation_id,
        amount=new_payment.amount,
        currency=new_payment.currency,
        split=new_payment.split,
        now=now,
    )
    try:
        stripe_api.require_ready()
    except stripe_api.NoResponse as failure:
        raise StripeUnavailable(str(failure), retry_after=failure.retry_after) from None
    owner = new_owner()
    payment = Payment(
        app=app,
        livemode=stripe_api.is_livemode(),
        key=key,
        fingerprint=keyed_fingerprint(new_payment.digest),
        owner=owner,
        locked_until=now + LEASE,
        amount=new_payment.amount,
        currency=new_payment.currency,
        purpose=new_payment.split.purpose,
        fee=new_payment.split.fee,
        discount=new_payment.split.discount,
        split_reason=new_payment.split.reason,
        order_id=new_payment.order_id,
        reservation_id=new_payment.reservation_id,
        customer=customer_reference(new_payment.customer),
        organization=customer_reference(new_payment.organization),
        request_id=request_id.current(),
        created_at=now,
        expires_at=now + timedelta(hours=min(72, settings.PAYMENT_KEY_HOURS)),
    )
    payment.keep_request(description=new_payment.description, metadata=new_payment.metadata)
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError:
        # A concurrent request with the same key inserted its row first.
        existing = _find_by_key(app, key)
        if existing is None:
            raise
        return _answer_repeat(existing, new_payment, now)
    return finish(payment, max_search=MAX_SEARCH_IN_REQUEST, now=now)


def _find_by_key(app: ClientApp, key: str) -> Payment | None:
    """Return the payment with this key, or None. Load only the fields that answering a repeated request needs."""
    found = Payment.objects.filter(app=app, livemode=stripe_api.is_livemode(), key=key)
    found = found.only(
        "key", "fingerprint", "state", "response_status", "response_body", "created_at"
    )
    return next(iter(found[:1]), None)


def _answer_repeat(payment: Payment, new_payment: NewPayment, now: datetime) -> StoredResponse:
    if not is_same_request(payment.fingerprint, new_payment.digest):
        raise KeyReused
    if payment.state == Payment.State.FINISHED:
        with relaxed_durability():
            Payment.objects.filter(pk=payment.pk).update(replay_count=F("replay_count") + 1)
        ensure_replicated()
        return _stored_response(payment, is_replay=True)
    owner = new_owner()
    # The search for the intent of an old payment may take minutes, so only the sweeper does it.
    is_old = now - payment.created_at >= NEVER_RESEND_AFTER
    if is_old or not _claim(payment, owner, now):
        with relaxed_durability():
            Payment.objects.filter(pk=payment.pk).update(conflict_count=F("conflict_count") + 1)
        raise InProgress
    payment = Payment.objects.get(pk=payment.pk)  # Load the fields that _find_by_key() left out.
    add_timeline_entry(
        payment, "taken over", f"attempt {payment.tries}, started by a repeated request", now=now
    )
    return finish(payment, max_search=MAX_SEARCH_IN_REQUEST, now=now)


def _claim(payment: Payment, owner: str, now: datetime) -> bool:
    """Lease the payment to `owner` if its lease has expired or belongs to a killed process of this machine."""
    mine = Payment.objects.filter(pk=payment.pk)
    until = now + LEASE
    return mine.claim(payment.pk, owner=owner, now=now, until=until) or (
        bool(mine.release_dead_leases(now))
        and mine.claim(payment.pk, owner=owner, now=now, until=until)
    )


def finish(payment: Payment, *, max_search: timedelta, now: datetime) -> StoredResponse:
    """Create the intent at Stripe and store the response. The caller holds the payment's lease.

    If Stripe returns a stored error, its list is searched for the intent, but no new page is read after `max_search`. A
    refusal by Stripe is stored as the response. Raises InProgress, StripeUnavailable or PortalFault for other failures.
    """
    before_page = _search_monitor(payment, max_search=max_search, now=now)
    try:
        intent = attempt.request_intent(payment, before_page=before_page, now=now)
    except stripe_api.CardDeclined as refusal:
        body = _refusal_body(payment, 402, "card-refused", str(refusal))
        body |= {"code": refusal.code, "decline_code": refusal.decline_code}
        return _store(payment, 402, body, PaymentStatus.REFUSED, error=str(refusal), now=now)
    except stripe_api.InvalidRequest as refusal:
        body = _refusal_body(payment, 400, "rejected", str(refusal))
        body |= {"code": refusal.code, "parameter": refusal.parameter}
        return _store(payment, 400, body, PaymentStatus.REFUSED, error=str(refusal), now=now)
    except stripe_api.StripeFailure as failure:
        attempt.release_lease(payment, failure, now=now)
        raise _retryable_error(failure) from None
    return store_intent(payment, intent, now=now)


def _retryable_error(failure: stripe_api.StripeFailure) -> Exception:
    match failure:
        case stripe_api.IdempotencyConflict():
            return PortalFault(str(failure))
        case stripe_api.IdempotencyKeyInUse():
            return InProgress()
        case stripe_api.AuthenticationFailed():
            return StripeUnavailable(str(failure), status=502, retry_after=60.0)
        case stripe_api.NoResponse():
            return StripeUnavailable(str(failure), retry_after=failure.retry_after)
        case _:
            return StripeUnavailable(str(failure))


def store_intent(payment: Payment, intent: Intent, *, now: datetime) -> StoredResponse:
    """Finish the payment with Stripe's intent and return the response."""
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
    return _store(payment, 201, body, intent, now=now)


def close_unsendable(payment: Payment, *, now: datetime) -> StoredResponse:
    """Finish a payment that is too old to be sent again. It is abandoned if Stripe has no intent for it.

    The caller holds the payment's lease, which is renewed during the search. Raises InProgress if another process takes
    over, StripeUnavailable if the search takes longer than MAX_SEARCH, and InProgress, StripeUnavailable or PortalFault
    if a call to Stripe fails.
    """
    before_page = _search_monitor(payment, max_search=MAX_SEARCH, now=now)
    try:
        found = attempt.find_intent(payment, before_page=before_page)
    except stripe_api.StripeFailure as failure:
        attempt.release_lease(payment, failure, now=now)
        raise _retryable_error(failure) from None
    if found is not None:
        add_timeline_entry(payment, "adopted", found.id, now=now)
        return store_intent(payment, found, now=now)
    add_timeline_entry(payment, "abandoned", now=now)
    return _abandon(payment, now=now)


def _search_monitor(
    payment: Payment, *, max_search: timedelta, now: datetime
) -> Callable[[str], None]:
    """Return a function for each page of a search, which renews the payment's lease and stores the bookmark.

    The function raises InProgress if another process has taken over the payment, and SearchPaused after `max_search`,
    but not before the first page, so that each attempt makes progress.
    """
    started = time.monotonic()
    first = payment.search_bookmark
    mine = Payment.objects.unfinished().filter(pk=payment.pk, owner=payment.owner)

    def before_page(bookmark: str) -> None:
        elapsed = timedelta(seconds=time.monotonic() - started)
        if not mine.update(locked_until=now + elapsed + LEASE, search_bookmark=bookmark):
            raise InProgress
        if bookmark != first and elapsed >= max_search:
            raise attempt.SearchPaused("the search for the payment's intent will continue")

    return before_page


def _abandon(payment: Payment, *, now: datetime) -> StoredResponse:
    body = _refusal_body(
        payment, 409, "abandoned", "this payment was never created; start again with a new key"
    )
    return _store(payment, 409, body, PaymentStatus.ABANDONED, error="abandoned", now=now)


def _store(
    payment: Payment,
    response_status: int,
    body: dict[str, object],
    outcome: Intent | PaymentStatus,
    *,
    error: str = "",
    now: datetime,
) -> StoredResponse:
    text = msgspec.json.encode(body).decode()
    mine = Payment.objects.unfinished().filter(pk=payment.pk, owner=payment.owner)
    with transaction.atomic():
        stored = mine.update(
            state=Payment.State.FINISHED,
            response_status=response_status,
            response_body=text,
            request_body="",
            search_bookmark="",
            finished_at=now,
            error=scrub_text(error[:300]),
            **({"intent_id": outcome.id} if isinstance(outcome, Intent) else {}),
        )
        if stored:
            # A webhook may have set a newer status before this response arrived, so set it only if it is still `asked`.
            without_status = Payment.objects.filter(pk=payment.pk, status=PaymentStatus.ASKED)
            if isinstance(outcome, Intent):
                without_status.update(status=outcome.status, status_at=outcome.created_at)
            else:
                without_status.update(status=outcome, status_at=now)
    payment.refresh_from_db()
    if payment.state != Payment.State.FINISHED:
        # The lease of this process expired, and another process took over but has not finished.
        raise InProgress
    if not stored:
        ensure_replicated()
    return _stored_response(payment, is_replay=not stored)


def _stored_response(payment: Payment, *, is_replay: bool) -> StoredResponse:
    return StoredResponse(
        payment.response_status or 500, payment.response_body, payment.key or "", is_replay
    )


def _refusal_body(payment: Payment, status: int, type_: str, detail: str) -> dict[str, object]:
    """Return a problem document (RFC 9457), which is stored as the response to all requests with the same key."""
    return {
        "type": type_,
        "title": "Payment refused",
        "status": status,
        "detail": detail,
        "request_id": payment.request_id,
        "payment": str(payment.uuid),
    }
