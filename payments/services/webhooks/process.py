"""Work off the events Stripe sent: each effect once, in the same transaction as the note that it was done."""

import logging
import random
import time
import uuid
from datetime import datetime, timedelta

from django.db import transaction

from alerts.rules import Severity
from opsportal.lib.formats import money
from payments import stripe_api
from payments.intents import Intent, NotAnIntent
from payments.models import Mismatch, Payment, WebhookEvent
from payments.models.webhooks import WebhookEventQuerySet
from payments.services.alerts import alarm, tell_of_dead_events
from payments.services.apply import AskStripe, apply_intent, apply_refund, note
from payments.services.mismatches import note_mismatch
from payments.services.refund import settle_refund

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
MAX_TRIES = 8
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
SWEEP_AFTER = timedelta(seconds=60)  # until then the nudge is trusted
SWEEP_SECONDS = 40.0

State = WebhookEvent.State


class Poison(Exception):
    """The event can never be processed as it is."""


class LeaseLost(Exception):
    """Another worker has the event now; our effect is undone."""


def process_event(*, event_pk: int, now: datetime) -> bool:
    """Whether the event was dealt with here. Raises nothing an event can cause: a failure is kept with it."""
    owner = uuid.uuid4().hex
    if not WebhookEvent.objects.all().claim(event_pk, owner=owner, now=now, until=now + LEASE):
        return False
    event = WebhookEvent.objects.get(pk=event_pk)
    if event.tries > MAX_TRIES:  # it killed its workers
        _bury(event, "tried too often", now)
        return False
    try:
        try:
            _process(event, None, now)
        except AskStripe:
            # Outside any transaction, and then applied as the truth.
            _process(event, stripe_api.retrieve_intent(_intent_id(event)), now)
    except LeaseLost:
        return False
    except (Poison, NotAnIntent) as error:
        _bury(event, str(error), now)
    except Exception as error:
        log.warning(
            "event failed", extra={"event_id": event.event_id, "tries": event.tries}, exc_info=True
        )
        if event.tries >= MAX_TRIES:
            _bury(event, f"{type(error).__name__}: {error}", now)
        else:
            _try_later(event, error, now)
    else:
        return True
    return False


def process_waiting(*, now: datetime) -> int:
    """Work off what nudges left behind, oldest first. How many were dealt with."""
    begun = time.monotonic()
    waiting = WebhookEvent.objects.due(now).filter(received_at__lte=now - SWEEP_AFTER)
    done = 0
    # Those that fail are due later and leave the set, so each round starts at its front.
    while chunk := list(waiting.order_by("created_at", "pk").values_list("pk", flat=True)[:200]):
        for pk in chunk:
            elapsed = time.monotonic() - begun
            if elapsed > SWEEP_SECONDS:
                return done
            done += process_event(event_pk=pk, now=now + timedelta(seconds=elapsed))
    return done


def _process(event: WebhookEvent, fetched: Intent | None, now: datetime) -> None:
    with transaction.atomic():
        payment, outcome = _effect(event, fetched, now)
        if not _mine(event).update(
            state=State.PROCESSED,
            processed_at=now,
            locked_until=None,
            payment=payment,
            outcome=outcome[:300],
        ):
            raise LeaseLost


def _effect(
    event: WebhookEvent, fetched: Intent | None, now: datetime
) -> tuple[Payment | None, str]:
    """What this event changes. Runs in the transaction that marks it processed."""
    if event.type.startswith("payment_intent."):
        return _intent_news(event, fetched, now)
    payment = Payment.objects.filter(intent_id=_intent_id(event)).first()
    if payment is None:
        return None, "about no payment of ours"
    if event.type == "charge.refunded":
        told = int(event.payload.get("amount_refunded") or 0)
        changed = apply_refund(payment_id=payment.pk, amount_refunded=told, now=now)
        shown = money(told, payment.currency)
        return payment, f"{shown} refunded in all" if changed else "known already"
    if event.type.startswith("refund."):
        return payment, settle_refund(payment=payment, told=event.payload, now=now)
    return payment, _dispute(payment, event, now)


def _intent_news(
    event: WebhookEvent, fetched: Intent | None, now: datetime
) -> tuple[Payment | None, str]:
    intent = fetched or Intent.of(event.payload)
    payment = Payment.objects.filter(intent_id=intent.id).first()
    if payment is None:
        payment = _by_metadata(intent)
        if payment is None:
            return None, _of_nobody(intent, now)
        if payment.intent_id is not None:
            note_mismatch(
                Mismatch.Kind.TWO_CHARGES,
                intent_id=intent.id,
                payment=payment,
                detail=f"{intent.status}, beside {payment.intent_id}",
                now=now,
            )
            return payment, "a second intent for this payment"
        if fetched is None:
            raise AskStripe  # unknown until now: adopt it as it is at Stripe
    told_at = now if fetched else event.created_at
    changed = apply_intent(
        payment_id=payment.pk,
        intent=intent,
        told_at=told_at,
        is_certain=fetched is not None,
        now=now,
    )
    return payment, f"now {intent.status}" if changed else f"{intent.status}: known or older"


def _dispute(payment: Payment, event: WebhookEvent, now: datetime) -> str:
    reason = str(event.payload.get("reason") or "no reason given")
    note(payment, "disputed", reason, now=now)
    alarm(
        f"dispute.{event.object_id}",
        f"Disputed: {payment.shown_amount}",
        f"The buyer's bank asks for the money of payment {payment.uuid} back: {reason}.",
        alert_type="payment-dispute",
        severity=Severity.HIGH,
        payment=payment,
        now=now,
    )
    return "dispute noted"


def _by_metadata(intent: Intent) -> Payment | None:
    try:
        return Payment.objects.filter(uuid=uuid.UUID(intent.payment_uuid)).first()
    except ValueError:
        return None


def _of_nobody(intent: Intent, now: datetime) -> str:
    if intent.payment_uuid and intent.status == "succeeded":
        note_mismatch(
            Mismatch.Kind.MISSING,
            intent_id=intent.id,
            payment=None,
            detail=money(intent.amount_received, intent.currency),
            now=now,
        )
        return "paid, with our mark, and unknown here"
    return "about no payment of ours"


def _intent_id(event: WebhookEvent) -> str:
    if event.type.startswith("payment_intent."):
        return event.object_id
    return str(event.payload.get("payment_intent") or "")


def _try_later(event: WebhookEvent, error: Exception, now: datetime) -> None:
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (event.tries - 1))
    pause *= random.uniform(0.8, 1.2)  # noqa: S311  jitter, so that a storm does not come back as one
    _mine(event).update(
        next_try_at=now + pause, locked_until=None, outcome=f"{type(error).__name__}: {error}"[:300]
    )


def _bury(event: WebhookEvent, reason: str, now: datetime) -> None:
    with transaction.atomic():
        if _mine(event).update(state=State.DEAD, locked_until=None, outcome=reason[:300]):
            tell_of_dead_events(now=now)


def _mine(event: WebhookEvent) -> WebhookEventQuerySet:
    return WebhookEvent.objects.waiting().filter(pk=event.pk, owner=event.owner)
