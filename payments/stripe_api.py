"""The only file that knows stripe-python: our calls out, and its errors as the few outcomes we tell apart."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import stripe
from django.conf import settings

from core.lib import outbound
from core.lib.outbound.breaker import Breaker, breaker_for
from payments.intents import OURS, Intent

# stripe-python alone waits 80 s and tries once. Two attempts of 9 s stay well inside the 30 s lease of a payment.
CONNECT_SECONDS, READ_SECONDS, RETRIES = 1.0, 8.0, 1
PAGE = 100
MOST_PAGES = 50

T = TypeVar("T")
logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO it logs each request


class StripeTrouble(Exception):
    """Stripe did not do what was asked. The text is safe to show to staff."""


class NotConfigured(StripeTrouble):
    """No STRIPE_SECRET_KEY: payments are not in use here."""


class CardRefused(StripeTrouble):
    def __init__(self, text: str, *, code: str = "", decline_code: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.decline_code = decline_code


class Rejected(StripeTrouble):
    """Stripe finds the request itself wrong; sending it again is pointless."""

    def __init__(self, text: str, *, code: str = "", parameter: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.parameter = parameter


class NotFound(Rejected):
    pass


class KeyClash(StripeTrouble):
    """Our idempotency key came with other parameters before: a fault of ours."""


class KeyInUse(StripeTrouble):
    """Stripe is at work on a request with this key right now."""


class KeyNotAccepted(StripeTrouble):
    """Stripe does not accept our secret key, or not for this."""


class NoAnswer(StripeTrouble):
    """Nobody knows whether it was done: no connection, a time-out, 429 or 5xx."""

    def __init__(self, text: str, *, retry_after: float = 1.0, is_replayed: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.is_replayed = (
            is_replayed  # Stripe's stored 5xx for this key: asking again gets the same
        )


@dataclass(frozen=True)
class RefundResult:
    id: str
    status: str


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def livemode() -> bool:
    return "_live_" in settings.STRIPE_SECRET_KEY[:10]


def require_ready() -> None:
    """Raises NotConfigured, or NoAnswer while the breaker is open: nothing has been asked yet."""
    if not is_configured():
        raise NotConfigured("payments are not configured")
    state = _breaker().state()
    if state.state == "open":
        raise NoAnswer("Stripe is not answering", retry_after=state.retry_after or 1.0)


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
        made = _client().v1.payment_intents.create(
            parameters,  # type: ignore[arg-type]
            {"idempotency_key": key},
        )
        return Intent.of(made.to_dict())


def retrieve_intent(intent_id: str) -> Intent:
    with _call():
        return Intent.of(_client().v1.payment_intents.retrieve(intent_id).to_dict())


def cancel_intent(intent_id: str, *, key: str) -> Intent:
    with _call():
        cancelled = _client().v1.payment_intents.cancel(intent_id, {}, {"idempotency_key": key})
        return Intent.of(cancelled.to_dict())


def find_intent(payment: UUID, *, since: datetime) -> Intent | None:
    """The intent made for this payment, by its metadata.

    From the list, not the search, which may not show what is younger than a minute:
    https://docs.stripe.com/search#data-freshness
    """
    for intent in intents_since(since):
        if intent.payment_uuid == str(payment):
            return intent
    return None


def intents_since(since: datetime) -> Iterator[Intent]:
    """Every intent made since then, newest first."""
    for data in _pages("payment_intents", created={"gte": int(since.timestamp())}):
        yield Intent.of(data)


def events_since(since: datetime, prefixes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every event since then, newest first. Stripe keeps them for 30 days."""
    for data in _pages("events", created={"gte": int(since.timestamp())}):
        if str(data.get("type", "")).startswith(prefixes):
            yield data


def retrieve_event(event_id: str) -> dict[str, Any]:
    with _call():
        return _client().v1.events.retrieve(event_id).to_dict()


def refund(*, intent_id: str, amount: int, payment: UUID, key: str) -> RefundResult:
    with _call():
        made = _client().v1.refunds.create(
            {"payment_intent": intent_id, "amount": amount, "metadata": {OURS: str(payment)}},
            {"idempotency_key": key},
        )
        return RefundResult(made.id, made.status or "pending")


def verify_signature(body: bytes, header: str, secret: str, *, tolerance: int) -> None:
    """Raises ValueError when the signature is not this secret's, is too old, or cannot be read."""
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance)
    except stripe.SignatureVerificationError as error:
        raise ValueError(str(error)) from error


def sign(body: str, secret: str, timestamp: int) -> str:
    """A header as Stripe sends it, for tests and the demo."""
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, timestamp))


def _pages(resource: str, **filters: Any) -> Iterator[dict[str, Any]]:
    after: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        with _call():
            page = getattr(_client().v1, resource).list({**filters, **after, "limit": PAGE})
        for item in page.data:
            yield item.to_dict()
        if not page.has_more or not page.data:
            return
        after = {"starting_after": page.data[-1].id}


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
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
    )


@contextmanager
def _call() -> Iterator[None]:
    """Guards one call with the breaker and turns stripe's errors into ours."""
    breaker = _breaker()
    try:
        probe = breaker.enter()
    except outbound.Unavailable as refusal:
        raise NoAnswer("Stripe is not answering", retry_after=refusal.retry_after or 1.0) from None
    failed: bool | None = None
    try:
        yield
        failed = False
    except stripe.StripeError as error:
        trouble = _trouble(error)
        # A refused card or a limit is an answer; silence and 5xx are not.
        failed = isinstance(trouble, NoAnswer) and error.http_status != 429
        raise trouble from None  # stripe's own error carries the request, headers and all
    finally:
        if failed is not None:
            (breaker.record_failure if failed else breaker.record_success)(probe=probe)
        elif probe:
            breaker.abandon_probe()


def _trouble(error: stripe.StripeError) -> StripeTrouble:
    text = (error.user_message or type(error).__name__)[:200]
    status, code = error.http_status, error.code or ""
    match error:
        case stripe.CardError():
            declined = error.json_body.get("error", {}) if isinstance(error.json_body, dict) else {}
            return CardRefused(
                text, code=code, decline_code=str(declined.get("decline_code") or "")
            )
        case _ if status == 409 or code == "idempotency_key_in_use":
            return KeyInUse(text)
        case stripe.IdempotencyError():
            return KeyClash(text)
        case stripe.AuthenticationError() | stripe.PermissionError():
            # Stripe's text quotes a part of the key.
            return KeyNotAccepted("Stripe does not accept the secret key for this")
        case stripe.RateLimitError():
            return NoAnswer("Stripe asks us to slow down", retry_after=_retry_after(error))
        case stripe.InvalidRequestError() if status == 404:
            return NotFound(text, code=code)
        case stripe.InvalidRequestError():
            return Rejected(text, code=code, parameter=error.param or "")
        case stripe.APIConnectionError():
            return NoAnswer("no answer from Stripe", retry_after=2.0)
        case _:
            replayed = str((error.headers or {}).get("Idempotent-Replayed", "")).lower() == "true"
            return NoAnswer(
                f"Stripe answered {status}",
                retry_after=_retry_after(error),
                is_replayed=replayed,
            )


def _retry_after(error: stripe.StripeError) -> float:
    given = str((error.headers or {}).get("Retry-After", ""))
    return min(60.0, float(given)) if given.isdigit() else 2.0
