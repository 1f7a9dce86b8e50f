"""Process stored events. An event's effect and its state `processed` are saved in one transaction."""

import logging
import random
import time
import uuid
from datetime import datetime, timedelta

from django.db import transaction

from alerts.extension_points import Severity
from core.lib.formats import money
from payments import stripe_api
from payments.intents import Intent, NotAnIntent
from payments.models import Mismatch, Payment, PaymentStatus, WebhookEvent
from payments.models.webhooks import WebhookEventQuerySet
from payments.services.alerts import raise_alert, update_dead_event_alert
from payments.services.apply import (
    AmbiguousOrder,
    add_timeline_entry,
    apply_intent,
    apply_refund,
)
from payments.services.mismatches import record_mismatch
from payments.services.refund import apply_refund_event

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
MAX_TRIES = 8
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = timedelta(seconds=30), timedelta(hours=1)
SWEEP_MIN_AGE = timedelta(seconds=60)  # younger events are left to their queued task
MAX_SWEEP_SECONDS = 40.0

State = WebhookEvent.State


class LeaseLost(Exception):
    """Another worker has taken over the event; the effect of this one is rolled back."""


def process_event(*, event_pk: int, now: datetime) -> bool:
    """Process the event and return True if it succeeded. Errors are stored with the event and not raised."""
    owner = uuid.uuid4().hex
    if not WebhookEvent.objects.all().claim(event_pk, owner=owner, now=now, until=now + LEASE):
        return False
    event = WebhookEvent.objects.get(pk=event_pk)
    if event.tries > MAX_TRIES:  # its workers crashed without recording an error
        _mark_dead(event, "too many attempts", now)
        return False
    try:
        try:
            _process(event, None, now)
        except AmbiguousOrder:
            # Fetch the intent outside the transaction; it is authoritative.
            _process(event, stripe_api.retrieve_intent(_intent_id(event)), now)
    except LeaseLost:
        return False
    except NotAnIntent as error:
        _mark_dead(event, str(error), now)
    except Exception as error:
        log.warning(
            "processing a webhook event failed",
            extra={"event_id": event.event_id, "tries": event.tries},
            exc_info=True,
        )
        if event.tries >= MAX_TRIES:
            _mark_dead(event, f"{type(error).__name__}: {error}", now)
        else:
            _schedule_retry(event, error, now)
    else:
        return True
    return False


def process_waiting(*, now: datetime) -> int:
    """Process due events whose queued task was lost or failed, oldest first, and return how many succeeded."""
    started = time.monotonic()
    waiting = WebhookEvent.objects.due(now).filter(received_at__lte=now - SWEEP_MIN_AGE)
    done = 0
    # Events that fail become due later and leave the set, so each round starts at its front.
    while chunk := list(waiting.order_by("created_at", "pk").values_list("pk", flat=True)[:200]):
        for pk in chunk:
            elapsed = time.monotonic() - started
            if elapsed > MAX_SWEEP_SECONDS:
                return done
            done += process_event(event_pk=pk, now=now + timedelta(seconds=elapsed))
    return done


def _process(event: WebhookEvent, fetched: Intent | None, now: datetime) -> None:
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


def _apply_event(
    event: WebhookEvent, fetched: Intent | None, now: datetime
) -> tuple[Payment | None, str]:
    """Apply the event and return its payment and outcome. Runs in the transaction that marks it processed."""
    if event.type.startswith("payment_intent."):
        return _apply_intent_event(event, fetched, now)
    payment = Payment.objects.filter(intent_id=_intent_id(event)).first()
    if payment is None:
        return None, "not a payment of this portal"
    if event.type == "charge.refunded":
        amount = int(event.payload.get("amount_refunded") or 0)
        changed = apply_refund(payment_id=payment.pk, amount_refunded=amount, now=now)
        total = money(amount, payment.currency)
        return payment, f"{total} refunded in total" if changed else "already known"
    if event.type.startswith("refund."):
        return payment, apply_refund_event(payment=payment, data=event.payload, now=now)
    return payment, _handle_dispute(payment, event, now)


def _apply_intent_event(
    event: WebhookEvent, fetched: Intent | None, now: datetime
) -> tuple[Payment | None, str]:
    intent = fetched or Intent.from_stripe(event.payload)
    payment = Payment.objects.filter(intent_id=intent.id).first()
    if payment is None:
        payment = _find_by_metadata(intent)
        if payment is None:
            return None, _handle_unknown_intent(intent, now)
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
            raise AmbiguousOrder  # link the intent in the state that Stripe reports now
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


def _handle_dispute(payment: Payment, event: WebhookEvent, now: datetime) -> str:
    reason = str(event.payload.get("reason") or "no reason given")
    add_timeline_entry(payment, "disputed", reason, now=now)
    raise_alert(
        f"dispute.{event.object_id}",
        f"Disputed: {payment.formatted_amount}",
        f"The buyer disputes payment {payment.uuid} with their bank: {reason}. Respond in Stripe's dashboard.",
        alert_type="payment-dispute",
        severity=Severity.HIGH,
        payment=payment,
        now=now,
    )
    return "dispute recorded"


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
        return "created by this portal and paid, but unknown here"
    return "not a payment of this portal"


def _intent_id(event: WebhookEvent) -> str:
    if event.type.startswith("payment_intent."):
        return event.object_id
    return str(event.payload.get("payment_intent") or "")


def _schedule_retry(event: WebhookEvent, error: Exception, now: datetime) -> None:
    delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** (event.tries - 1))
    delay *= random.uniform(0.8, 1.2)  # noqa: S311  jitter, so that a burst of failures is not retried at once
    _leased(event).update(
        next_try_at=now + delay, locked_until=None, outcome=f"{type(error).__name__}: {error}"[:300]
    )


def _mark_dead(event: WebhookEvent, reason: str, now: datetime) -> None:
    with transaction.atomic():
        if _leased(event).update(state=State.DEAD, locked_until=None, outcome=reason[:300]):
            update_dead_event_alert(now=now)


def _leased(event: WebhookEvent) -> WebhookEventQuerySet:
    """Return the event's row, or none if the lease of this process is lost."""
    return WebhookEvent.objects.waiting().filter(pk=event.pk, owner=event.owner)
