"""Call Stripe and translate its errors into a few exceptions.

Only this module uses stripe-python.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import stripe
from django.conf import settings

from core.lib import outbound
from core.lib.outbound.breaker import Breaker, State, breaker_for
from payments.intents import PAYMENT_METADATA_KEY, Intent
from payments.reversals import REFUND_METADATA_KEY, StripeDispute, StripeRefund

# By default, stripe-python makes one attempt of up to 80 s. Two attempts of 9 s each fit into the 30 s of a payment's
# lease.
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, MAX_RETRIES = 1.0, 8.0, 1
PAGE_SIZE = 100

T = TypeVar("T")
# At level INFO, stripe-python would log every request.
logging.getLogger("stripe").setLevel(logging.WARNING)


class StripeFailure(Exception):
    """The base class for failed calls to Stripe. The text is safe to show to staff."""


class NotConfigured(StripeFailure):
    """STRIPE_SECRET_KEY is not set."""


class CardDeclined(StripeFailure):
    """The card was declined."""

    def __init__(self, text: str, *, code: str = "", decline_code: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.decline_code = decline_code


class InvalidRequest(StripeFailure):
    """Stripe rejects the request as invalid, so a retry is pointless."""

    def __init__(self, text: str, *, code: str = "", parameter: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.parameter = parameter


class NotFound(InvalidRequest):
    """Stripe does not have the requested object."""


class IdempotencyConflict(StripeFailure):
    """The idempotency key was sent to Stripe with other parameters before, which is a bug in the portal."""


class IdempotencyKeyInUse(StripeFailure):
    """Stripe is still processing a request with this key."""


class AuthenticationFailed(StripeFailure):
    """Stripe rejects the portal's secret key, or the key lacks the required permission."""


class NoResponse(StripeFailure):
    """The call failed without a usable response, so its outcome may be unknown.

    The connection failed, Stripe responded with a 429 or an unexpected status such as a 5xx, or the circuit breaker is
    open.
    """

    def __init__(self, text: str, *, retry_after: float = 1.0, is_replayed: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        # True if Stripe stored this 5xx for the idempotency key, and will return it again.
        self.is_replayed = is_replayed


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def is_livemode() -> bool:
    return "_live_" in settings.STRIPE_SECRET_KEY[:10]


def require_ready() -> None:
    """Raise NotConfigured if no secret key is set, or NoResponse while the circuit breaker is open.

    The function does not call Stripe.
    """
    if not is_configured():
        raise NotConfigured("payments are not configured")
    state = _breaker().state()
    if state.state is State.OPEN:
        raise NoResponse("Stripe is not responding", retry_after=state.retry_after or 1.0)


def require_response() -> None:
    """Raise NoResponse if Stripe does not respond to a read request. A refusal other than a 429 is a response."""
    try:
        with _call():
            _client().v1.payment_intents.list({"limit": 1}, {"max_network_retries": 0})
    except NoResponse:
        raise
    except StripeFailure:
        return


def create_intent(
    *, amount: int, currency: str, metadata: Mapping[str, str], description: str, key: str
) -> Intent:
    parameters: dict[str, Any] = {
        "amount": amount,
        "currency": currency.lower(),
        "metadata": dict(metadata),
    }
    if description:
        parameters["description"] = description
    with _call():
        created = _client().v1.payment_intents.create(
            parameters,  # type: ignore[arg-type]
            {"idempotency_key": key},
        )
        return Intent.from_stripe(created.to_dict())


def retrieve_intent(intent_id: str) -> Intent:
    with _call():
        return Intent.from_stripe(_client().v1.payment_intents.retrieve(intent_id).to_dict())


def cancel_intent(intent_id: str, *, key: str) -> Intent:
    with _call():
        cancelled = _client().v1.payment_intents.cancel(intent_id, {}, {"idempotency_key": key})
        return Intent.from_stripe(cancelled.to_dict())


def find_intent(
    payment: UUID,
    *,
    since: datetime,
    after: str = "",
    before_page: Callable[[str], None] = lambda _: None,
) -> Intent | None:
    """Return the intent whose metadata names this payment, or None.

    `before_page` is called with a bookmark before each page of 100 intents is read, and may raise an exception to end
    the search. A later search with this bookmark as `after` continues there. The function reads the list of intents
    created since `since`, the newest first, because Stripe's search may omit intents of the last minute:
    https://docs.stripe.com/search#data-freshness
    """
    created = {"gte": int(since.timestamp())}
    for data in _pages("payment_intents", after=after, before_page=before_page, created=created):
        intent = Intent.from_stripe(data)
        if intent.payment_uuid == str(payment):
            return intent
    return None


@dataclass(frozen=True)
class Page:
    """A page of one of Stripe's lists, newest object first.

    The bookmark identifies the next page, and is "" on the last page.
    """

    items: list[dict[str, Any]]
    bookmark: str


def read_page(
    resource: str, *, since: datetime, until: datetime, after: str = "", **filters: Any
) -> Page:
    """Return one page of the objects created from `since` to `until`.

    `after` is the bookmark of the previous page. Stripe keeps events for 30 days.
    """
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    return _read_page(resource, after, created=created, **filters)


def retrieve_event(event_id: str) -> dict[str, Any]:
    with _call():
        return _client().v1.events.retrieve(event_id).to_dict()


def refund(*, intent_id: str, amount: int, payment: UUID, refund: UUID, key: str) -> StripeRefund:
    with _call():
        created = _client().v1.refunds.create(
            {
                "payment_intent": intent_id,
                "amount": amount,
                "metadata": {PAYMENT_METADATA_KEY: str(payment), REFUND_METADATA_KEY: str(refund)},
            },
            {"idempotency_key": key},
        )
        return StripeRefund.from_stripe(created.to_dict())


def retrieve_refund(refund_id: str) -> StripeRefund:
    with _call():
        return StripeRefund.from_stripe(_client().v1.refunds.retrieve(refund_id).to_dict())


def refunds_of(intent_id: str = "", *, charge_id: str = "") -> list[StripeRefund]:
    """Return all refunds of an intent, or of a charge if no intent is given."""
    of: dict[str, Any] = {"payment_intent": intent_id} if intent_id else {"charge": charge_id}
    return [StripeRefund.from_stripe(one) for one in _pages("refunds", **of)]


def retrieve_dispute(dispute_id: str) -> StripeDispute:
    with _call():
        return StripeDispute.from_stripe(_client().v1.disputes.retrieve(dispute_id).to_dict())


def verify_signature(body: bytes, header: str, secret: str, *, tolerance: int) -> None:
    """Raise ValueError if the signature was not made with this secret, is too old or is malformed.

    Raises TypeError if the signature contains a character that is not ASCII.
    """
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance)
    except stripe.SignatureVerificationError as error:
        raise ValueError(str(error)) from error


def sign(body: str, secret: str, timestamp: int) -> str:
    """Return a signature header like Stripe's, for tests and the demo."""
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, timestamp))


def _pages(
    resource: str,
    *,
    after: str = "",
    before_page: Callable[[str], None] = lambda _: None,
    **filters: Any,
) -> Iterator[dict[str, Any]]:
    """Yield all objects of a list, or those that follow the bookmark `after`.

    Raises NoResponse if the list ends early, because a missing object might then exist.
    """
    while True:
        before_page(after)
        page = _read_page(resource, after, **filters)
        yield from page.items
        after = page.bookmark
        if not after:
            return


def _read_page(resource: str, after: str, **filters: Any) -> Page:
    start = {"starting_after": after} if after else {}
    with _call():
        page = getattr(_client().v1, resource).list({**filters, **start, "limit": PAGE_SIZE})
    items = [item.to_dict() for item in page.data]
    if page.has_more and not items:
        raise NoResponse(f"Stripe's list of {resource.replace('_', ' ')} is incomplete")
    return Page(items, str(items[-1]["id"]) if page.has_more else "")


def _breaker() -> Breaker:
    return breaker_for("stripe")


def _client() -> stripe.StripeClient:
    if not is_configured():
        raise NotConfigured("payments are not configured")
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@lru_cache(maxsize=4)
def _client_for(key: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        max_network_retries=MAX_RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)),
    )


@contextmanager
def _call() -> Iterator[None]:
    """Make one call through the circuit breaker and translate stripe-python's errors."""
    breaker = _breaker()
    try:
        probe = breaker.enter()
    except outbound.Unavailable as refusal:
        raise NoResponse(
            "Stripe is not responding", retry_after=refusal.retry_after or 1.0
        ) from None
    failed: bool | None = None
    try:
        yield
        failed = False
    except stripe.StripeError as error:
        failure = _translate(error)
        # The circuit breaker counts a timeout or a 5xx as a failure, but not a declined card or a rate limit.
        failed = isinstance(failure, NoResponse) and error.http_status != 429
        # Do not chain stripe-python's error, because it contains the request with its headers.
        raise failure from None
    finally:
        if failed is not None:
            (breaker.record_failure if failed else breaker.record_success)(probe=probe)
        elif probe:
            breaker.abandon_probe()


def _translate(error: stripe.StripeError) -> StripeFailure:
    text = (error.user_message or type(error).__name__)[:200]
    status, code = error.http_status, error.code or ""
    match error:
        case stripe.CardError():
            declined = error.json_body.get("error", {}) if isinstance(error.json_body, dict) else {}
            return CardDeclined(
                text, code=code, decline_code=str(declined.get("decline_code") or "")
            )
        case _ if status == 409 or code == "idempotency_key_in_use":
            return IdempotencyKeyInUse(text)
        case stripe.IdempotencyError():
            return IdempotencyConflict(text)
        case stripe.AuthenticationError() | stripe.PermissionError():
            # Do not show Stripe's text, because it contains a part of the secret key.
            return AuthenticationFailed("Stripe rejects the secret key for this request")
        case stripe.RateLimitError():
            return NoResponse("Stripe's rate limit is reached", retry_after=_retry_after(error))
        case stripe.InvalidRequestError() if status == 404:
            return NotFound(text, code=code)
        case stripe.InvalidRequestError():
            return InvalidRequest(text, code=code, parameter=error.param or "")
        case stripe.APIConnectionError():
            return NoResponse("no response from Stripe", retry_after=2.0)
        case _:
            replayed = str((error.headers or {}).get("Idempotent-Replayed", "")).lower() == "true"
            return NoResponse(
                f"Stripe responded with status {status}",
                retry_after=_retry_after(error),
                is_replayed=replayed,
            )


def _retry_after(error: stripe.StripeError) -> float:
    given = str((error.headers or {}).get("Retry-After", ""))
    return min(60.0, float(given)) if given.isdigit() else 2.0
