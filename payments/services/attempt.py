"""Try once to create a payment's intent at Stripe.

The functions require that this process holds the payment's lease.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import F

from core.lib import sealed
from payments import stripe_api
from payments.intents import PAYMENT_METADATA_KEY, Intent
from payments.models import Payment
from payments.services.alerts import raise_alert
from payments.services.apply import add_timeline_entry

STRIPE_KEY_ALERT = "stripe-key"


class SearchPaused(stripe_api.NoResponse):
    """The search for the payment's intent is not finished. The next attempt continues it at the payment's bookmark."""


def request_intent(
    payment: Payment, *, before_page: Callable[[str], None], now: datetime
) -> Intent:
    """Create the payment's intent, or find the intent of an earlier attempt (see `find_intent`).

    Raises a stripe_api.StripeFailure if no intent was created or found.
    """
    try:
        return _create_intent(payment)
    except stripe_api.NoResponse as failure:
        if not failure.is_replayed:
            raise
        # Stripe returns the error that it stored for this key, but may have created the intent nevertheless.
        found = find_intent(payment, before_page=before_page)
        if found is not None:
            return found
        Payment.objects.filter(pk=payment.pk, owner=payment.owner).update(
            attempt=F("attempt") + 1, search_bookmark=""
        )
        add_timeline_entry(
            payment, "new idempotency key", "Stripe stored an error and has no intent", now=now
        )
        raise


def find_intent(payment: Payment, *, before_page: Callable[[str], None]) -> Intent | None:
    """Return Stripe's intent for this payment, or None.

    An intent whose id is unknown is found by the payment's id in its metadata. This search reads the list of all
    intents since the payment, the newest first, so it may take minutes. It starts at the payment's bookmark, because no
    request creates another intent for the payment after the search has started. `before_page` is called with the
    bookmark of each page, stores it, and may raise SearchPaused.
    """
    if payment.intent_id:
        return stripe_api.retrieve_intent(payment.intent_id)
    # Stripe's clock may be behind the portal's, so search from a little before the request.
    since = payment.created_at - timedelta(minutes=5)
    try:
        return stripe_api.find_intent(
            payment.uuid, since=since, after=payment.search_bookmark, before_page=before_page
        )
    except stripe_api.InvalidRequest:
        # Stripe does not have the intent of the bookmark, so the next attempt reads the list from its start.
        Payment.objects.filter(pk=payment.pk, owner=payment.owner).update(search_bookmark="")
        raise stripe_api.NoResponse("Stripe rejects the search for the payment's intent") from None


def release_lease(payment: Payment, failure: stripe_api.StripeFailure, *, now: datetime) -> None:
    """End the lease after a failure, so that a repeated request or the sweeper can take over immediately.

    Alert staff if the failure is a bug in the portal or a rejected secret key.
    """
    is_paused = isinstance(failure, SearchPaused)
    Payment.objects.unfinished().filter(pk=payment.pk, owner=payment.owner).update(
        locked_until=now, error="" if is_paused else str(failure)[:300]
    )
    what = "search paused" if is_paused else "no answer"
    add_timeline_entry(payment, what, f"attempt {payment.tries}: {failure}", now=now)
    if isinstance(failure, stripe_api.IdempotencyConflict):
        raise_alert(
            f"key-clash.{payment.uuid}",
            "Stripe has received an idempotency key with other parameters before",
            f"Payment {payment.uuid} cannot be finished. This is a bug in the portal. {failure}",
            alert_type="payment-fault",
            payment=payment,
            now=now,
        )
    elif isinstance(failure, stripe_api.AuthenticationFailed):
        raise_alert(
            STRIPE_KEY_ALERT,
            "Stripe rejects the portal's secret key",
            "No payment can be created. Check STRIPE_SECRET_KEY and its permissions.",
            alert_type="stripe-key-refused",
            now=now,
        )


def _create_intent(payment: Payment) -> Intent:
    ours = {
        PAYMENT_METADATA_KEY: str(payment.uuid),
        "order_id": payment.order_id,
        "reservation_id": payment.reservation_id,
    }
    try:
        description, metadata = payment.read_request()
    except sealed.CannotOpen:
        raise stripe_api.NoResponse(
            "the stored request was encrypted with another SECRET_KEY"
        ) from None
    return stripe_api.create_intent(
        amount=payment.amount,
        currency=payment.currency,
        metadata={**metadata, **{k: v for k, v in ours.items() if v}},
        description=description,
        key=payment.stripe_idempotency_key,
    )
