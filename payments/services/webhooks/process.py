"""Process stored events. The effect of an event and its state `processed` are saved in one transaction."""

import logging
import random
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from core.lib.formats import money
from core.lib.lease_owner import new_owner
from payments import stripe_api
from payments.intents import Intent, NotAnIntent
from payments.models import Mismatch, Payment, PaymentStatus, WebhookEvent
from payments.models.webhooks import WebhookEventQuerySet
from payments.reversals import NotAReversal, StripeDispute, StripeRefund
from payments.services.alerts import update_dead_event_alert
from payments.services.apply import AmbiguousOrder, apply_intent
from payments.services.disputes import store_dispute
from payments.services.mismatches import record_mismatch, resolve_mismatches
from payments.services.refund import store_refunds

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
MAX_TRIES = 8
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = timedelta(seconds=30), timedelta(hours=1)
SWEEP_MIN_AGE = timedelta(seconds=60)  # Queued tasks normally process younger events.
MAX_SWEEP_SECONDS = 40.0

State = WebhookEvent.State
REFUND_TYPES = ("charge.refunded", "charge.refund.updated", "refund.")


Fetched = Intent | StripeDispute | Sequence[StripeRefund]


class NeedsFetch(Exception):
    """The event lacks information, so its object must be fetched from Stripe."""


# A second intent for a payment is a problem only if it has received the buyer's money or may still receive it.
MONEY_STATUSES = (
    PaymentStatus.SUCCEEDED,
    PaymentStatus.PROCESSING,
    PaymentStatus.REQUIRES_CAPTURE,
)


class LeaseLost(Exception):
    """Another worker has taken over the event, so the changes of this worker are rolled back."""


def process_event(*, event_pk: int, now: datetime) -> bool:
    """Process the event and return True on success.

    Errors are stored with the event and not raised. Also returns False if the event is not due or another worker has
    claimed it.
    """
    owner = new_owner()
    if not WebhookEvent.objects.all().claim(event_pk, owner=owner, now=now, until=now + LEASE):
        return False
    event = WebhookEvent.objects.get(pk=event_pk)
    if event.tries > MAX_TRIES:  # The earlier attempts crashed their workers.
        _mark_dead(event, "too many attempts", now)
        return False
    try:
        try:
            _process(event, None, now)
        except (AmbiguousOrder, NeedsFetch):
            # Fetch the object outside the transaction, because the call may take seconds.
            _process(event, _fetch(event), now)
    except LeaseLost:
        return False
    except (NotAnIntent, NotAReversal) as error:
        _mark_dead(event, str(error), now)
    except Exception as error:
        log.warning(
            "a webhook event could not be processed",
            extra={"event_id": event.event_id, "tries": event.tries},
            exc_info=True,
        )
        if event.tries >= MAX_TRIES and not isinstance(error, stripe_api.NoResponse):
            _mark_dead(event, f"{type(error).__name__}: {error}", now)
        else:
            _schedule_retry(event, error, now)
    else:
        return True
    return False


def process_waiting(*, now: datetime) -> int:
    """Process due events whose queued task was lost or failed, oldest first, for about 40 seconds.

    Return the number of successes.
    """
    started = time.monotonic()
    WebhookEvent.objects.all().release_dead_leases(now)
    waiting = WebhookEvent.objects.due(now).filter(received_at__lte=now - SWEEP_MIN_AGE)
    done = 0
    # Events of earlier rounds are no longer due, so each round reads the first events that are due.
    while chunk := list(waiting.order_by("created_at", "pk").values_list("pk", flat=True)[:200]):
        for pk in chunk:
            elapsed = time.monotonic() - started
            if elapsed > MAX_SWEEP_SECONDS:
                return done
            done += process_event(event_pk=pk, now=now + timedelta(seconds=elapsed))
    return done


def _process(event: WebhookEvent, fetched: Fetched | None, now: datetime) -> None:
    with transaction.atomic():
        payment, outcome = _apply_event(event, fetched, now)
        if not _leased(event).update(
            state=State.PROCESSED,
            processed_at=now,
            locked_until=None,
            payment=payment,
            outcome=outcome[:300],
        ):
            raise LeaseLost


def _fetch(event: WebhookEvent) -> Fetched:
    """Return the current state of the event's object at Stripe."""
    if event.type.startswith("charge.dispute."):
        return stripe_api.retrieve_dispute(event.object_id)
    if event.type == "charge.refunded":
        return stripe_api.refunds_of(charge_id=event.object_id)
    if event.type.startswith(REFUND_TYPES):
        return [stripe_api.retrieve_refund(event.object_id)]
    return stripe_api.retrieve_intent(_intent_id(event))


def _apply_event(
    event: WebhookEvent, fetched: Fetched | None, now: datetime
) -> tuple[Payment | None, str]:
    """Apply the event and return its payment and a description of the outcome.

    The function runs in the transaction that marks the event as processed. Raises NeedsFetch or AmbiguousOrder if the
    event's object must be fetched from Stripe first.
    """
    if event.is_thin and fetched is None:
        raise NeedsFetch
    if event.type.startswith("payment_intent."):
        assert fetched is None or isinstance(fetched, Intent)
        return _apply_intent_event(event, fetched, now)
    if event.type.startswith("charge.dispute."):
        assert fetched is None or isinstance(fetched, StripeDispute)
        return _apply_dispute_event(event, fetched, now)
    assert not isinstance(fetched, Intent | StripeDispute)
    return _apply_refund_event(event, fetched, now)


def _apply_refund_event(
    event: WebhookEvent, fetched: Sequence[StripeRefund] | None, now: datetime
) -> tuple[Payment | None, str]:
    refunds, intent_id = fetched, _intent_id(event)
    if refunds is None and event.type != "charge.refunded":
        refunds = [StripeRefund.from_stripe(event.payload)]
    if refunds and not intent_id:
        intent_id = refunds[0].intent_id
    payment = Payment.objects.filter(intent_id=intent_id).first()
    if payment is None:
        if event.payload.get("refunded") is True:
            gone = Mismatch.objects.open().filter(intent_id=intent_id, payment=None)
            resolve_mismatches(gone, settlement="refunded at Stripe", now=now)
        return None, "not a payment of this portal"
    if refunds is None:
        # A charge contains the refunded amount but not the refunds, so fetch them if the amount has changed.
        total = int(event.payload.get("amount_refunded") or 0)
        if payment.refunds.effective().total() == total:
            return payment, "already known"
        raise NeedsFetch
    changed = store_refunds(payment_id=payment.pk, refunds=refunds, now=now)
    payment.refresh_from_db(fields=["amount_refunded"])
    total_text = money(payment.amount_refunded, payment.currency)
    return payment, f"{total_text} refunded in total" if changed else "already known"


def _apply_dispute_event(
    event: WebhookEvent, fetched: StripeDispute | None, now: datetime
) -> tuple[Payment | None, str]:
    reported = fetched or StripeDispute.from_stripe(event.payload)
    payment = Payment.objects.filter(intent_id=reported.intent_id).first()
    if payment is None:
        return None, "not a payment of this portal"
    reported_at = now if fetched else event.created_at
    return payment, store_dispute(
        payment_id=payment.pk, reported=reported, reported_at=reported_at, now=now
    )


def _apply_intent_event(
    event: WebhookEvent, fetched: Intent | None, now: datetime
) -> tuple[Payment | None, str]:
    intent = fetched or Intent.from_stripe(event.payload)
    payment = Payment.objects.filter(intent_id=intent.id).first()
    if payment is None:
        payment = _find_by_metadata(intent)
        if payment is None:
            return None, _handle_unknown_intent(intent, now)
        if payment.intent_id is not None and intent.status not in MONEY_STATUSES:
            return payment, f"a second intent for this payment, {intent.status}"
        if payment.intent_id is not None:
            record_mismatch(
                Mismatch.Kind.TWO_CHARGES,
                intent_id=intent.id,
                payment=payment,
                detail=f"{intent.status}, in addition to {payment.intent_id}",
                now=now,
            )
            return payment, "a second intent for this payment"
        if fetched is None:
            raise AmbiguousOrder  # This makes process_event() fetch the intent and link it with its current status.
    changed = apply_intent(
        payment_id=payment.pk,
        intent=intent,
        reported_at=now if fetched else event.created_at,
        is_authoritative=fetched is not None,
        now=now,
    )
    return (
        payment,
        f"now {intent.status}" if changed else f"{intent.status}: already known or outdated",
    )


def _find_by_metadata(intent: Intent) -> Payment | None:
    try:
        return Payment.objects.filter(uuid=uuid.UUID(intent.payment_uuid)).first()
    except ValueError:
        return None


def _handle_unknown_intent(intent: Intent, now: datetime) -> str:
    if intent.payment_uuid and intent.status == PaymentStatus.SUCCEEDED:
        record_mismatch(
            Mismatch.Kind.MISSING,
            intent_id=intent.id,
            payment=None,
            detail=money(intent.amount_received, intent.currency),
            now=now,
        )
        return "created by this portal and paid, but the portal has no such payment"
    return "not a payment of this portal"


def _intent_id(event: WebhookEvent) -> str:
    if event.type.startswith("payment_intent."):
        return event.object_id
    return str(event.payload.get("payment_intent") or "")


def _schedule_retry(event: WebhookEvent, error: Exception, now: datetime) -> None:
    # An event that waits for Stripe never fails permanently, even in a long outage.
    tries = min(event.tries, MAX_TRIES - 1)
    delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** (tries - 1))
    delay *= random.uniform(0.8, 1.2)  # noqa: S311  jitter, so that a burst of failures is not retried at once
    _leased(event).update(
        tries=tries,
        next_try_at=now + delay,
        locked_until=None,
        outcome=f"{type(error).__name__}: {error}"[:300],
    )


def _mark_dead(event: WebhookEvent, reason: str, now: datetime) -> None:
    with transaction.atomic():
        if _leased(event).update(state=State.DEAD, locked_until=None, outcome=reason[:300]):
            update_dead_event_alert(now=now)


def _leased(event: WebhookEvent) -> WebhookEventQuerySet:
    """Return a queryset with the event, or an empty one if this worker has lost the lease."""
    return WebhookEvent.objects.waiting().filter(pk=event.pk, owner=event.owner)
