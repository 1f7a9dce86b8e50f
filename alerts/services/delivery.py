"""Delivery of the outbox: claim, call the provider, record the result.

The claim is committed before the call, so that two workers never send the same notification.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from django.db import transaction
from django.db.models import F

from alerts import messages
from alerts.channels import (
    DeliveryFailed,
    Message,
    Receipt,
    get_config,
    get_transport,
    list_missing_fields,
)
from alerts.channels.base import MessageKind
from alerts.models import (
    UNFINISHED_STATES,
    AlertEvent,
    Channel,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.queries.impact import alert_impact
from alerts.services import outbox
from alerts.services.channel_state import record_failure, record_success
from alerts.services.notifications import FIRING_KINDS
from alerts.services.transitions import add_timeline_entry

log = logging.getLogger(__name__)

INITIAL_BACKOFF = timedelta(seconds=30)
MAX_BACKOFF = timedelta(minutes=10)
MAX_PER_SWEEP = 200
MAX_SWEEP_SECONDS = 40.0  # the job's timeout is 50


class DeliveryOutcome(StrEnum):
    """The result of one call of `deliver()`."""

    NOT_DUE = "not due"  # not due yet, or another worker has it
    SENT = "sent"
    RETRY = "retry"  # failed, will be tried again
    FAILED = "failed"
    GIVEN_UP = "given up"  # past its deadline, or its workers died
    POSTPONED = "postponed"  # the provider was not called
    SUPERSEDED = "superseded"


# The channel is unlikely to accept another message during the same sweep.
BLOCKING_OUTCOMES = {DeliveryOutcome.RETRY, DeliveryOutcome.FAILED, DeliveryOutcome.POSTPONED}


def deliver(*, notification_id: int, now: datetime) -> DeliveryOutcome:
    """Send one notification if it is due and no other worker has it."""
    lease = Notification.objects.claim(notification_id, now=now)
    if lease is None:
        return DeliveryOutcome.NOT_DUE
    notification = Notification.objects.select_related("channel", "alert__rule").get(
        pk=notification_id
    )
    if notification.deadline_at < now:
        return _fail(notification, "its deadline passed before it could be sent", now=now)
    if notification.attempt_count > notification.attempts_allowed:
        return _fail(notification, "the worker that was sending it stopped", now=now)
    delay = _rate_limit_delay(notification.channel, now)
    if delay:
        return _postpone(notification, now + delay, "waiting for the rate limit of the channel")
    message = _load_message(notification)
    if message is None:
        return _supersede(notification, "the alert was never delivered")
    return _send(notification, _add_impact(notification, message, now), now=now)


def deliver_waiting(*, now: datetime) -> dict[str, int]:
    """Send all due notifications and count the outcomes. Skip a channel that fails until the next sweep.

    These are retries, and notifications whose queued job was lost or whose worker died.
    """
    outcomes: Counter[str] = Counter()
    ends_at = time.monotonic() + MAX_SWEEP_SECONDS
    failing: set[int] = set()
    for pk, channel_id in _due(now):
        if time.monotonic() > ends_at:
            break
        if channel_id in failing:
            continue
        outcome = deliver(notification_id=pk, now=now)
        outcomes[outcome.value] += 1
        if outcome in BLOCKING_OUTCOMES:
            failing.add(channel_id)
    return dict(outcomes)


def resend(notification: Notification, *, now: datetime) -> bool:
    """Send a finished notification again, with three more attempts. Return False if it is still unfinished."""
    changed = (
        Notification.objects.filter(pk=notification.pk)
        .exclude(state__in=UNFINISHED_STATES)
        .update(
            state=NotificationState.WAITING,
            next_attempt_at=now,
            deadline_at=now + outbox.DELIVERY_DEADLINE,
            attempts_allowed=F("attempt_count") + 3,
            is_permanent_failure=False,
        )
    )
    if changed:
        outbox.wake_worker(notification.pk)
    return bool(changed)


def backoff(attempt: int, retry_after: float | None) -> timedelta:
    """Return a random delay up to an exponentially growing limit, but never less than the provider asks for."""
    longest = min(INITIAL_BACKOFF * 2 ** (attempt - 1), MAX_BACKOFF)
    asked = timedelta(seconds=min(retry_after or 0, 3600))
    jittered: timedelta = longest * random.random()  # noqa: S311
    return max(jittered, asked)


def _due(now: datetime) -> Iterator[tuple[int, int]]:
    """Yield due notifications with their channels, oldest first.

    Sending one can make the next of its stream due, hence the repeated query.
    """
    seen: set[int] = set()
    while len(seen) < MAX_PER_SWEEP:
        due = Notification.objects.due(now).filter(channel__is_enabled=True).exclude(pk__in=seen)
        found = list(due.order_by("pk").values_list("pk", "channel_id")[:50])
        if not found:
            return
        for pk, channel_id in found:
            seen.add(pk)
            yield pk, channel_id


def _load_message(notification: Notification) -> Message | None:
    """Return the message to send, or None to send nothing.

    A resolution reads differently if its alert was never delivered, and some services do not get it at all.
    """
    message = messages.from_payload(notification.payload)
    if notification.kind != MessageKind.RESOLVED:
        return message
    before = (
        Notification.objects.filter(
            stream=notification.stream,
            pk__lt=notification.pk,
            sent_at__isnull=False,
            kind__in=[*FIRING_KINDS, MessageKind.RESOLVED],
        )
        .order_by("-pk")
        .values_list("kind", flat=True)
        .first()
    )
    if before in FIRING_KINDS:
        return message
    if not get_transport(notification.channel).sends_unannounced_resolutions:
        return None
    return messages.for_unannounced_resolution(message)


def _add_impact(notification: Notification, message: Message, now: datetime) -> Message:
    """Add what the alert costs when its message is sent for the first time. Retries send the same content."""
    if notification.alert is None or notification.attempt_count != 1 or message.impact:
        return message
    try:
        cost = alert_impact(notification.alert, now=now)
    except Exception:
        # A message without figures is better than none.
        log.exception("no impact for a message", extra={"notification": notification.pk})
        return message
    stored = messages.from_payload(notification.payload)
    with_cost = {"impact": cost.sentence, "estimate": cost.estimate_sentence}
    stored = msgspec.structs.replace(stored, **with_cost)
    Notification.objects.filter(pk=notification.pk).update(payload=messages.to_payload(stored))
    return msgspec.structs.replace(message, **with_cost)


def _send(notification: Notification, message: Message, *, now: datetime) -> DeliveryOutcome:
    channel = notification.channel
    started = time.monotonic()
    failure: DeliveryFailed | None = None
    receipt = Receipt()
    try:
        missing = list_missing_fields(channel)
        if missing:
            raise DeliveryFailed(f"not configured: {', '.join(missing)}", is_permanent=True)
        receipt = get_transport(channel).send(
            message, get_config(channel), idempotency_key=_provider_key(notification)
        )
    except DeliveryFailed as error:
        failure = error
    except Exception as error:
        # A bug in our code. Record it, so that the notification does not stay claimed.
        log.exception("channel failed unexpectedly", extra={"channel": channel.name})
        failure = DeliveryFailed(f"{type(error).__name__}: {error}")
    duration_ms = int((time.monotonic() - started) * 1000)
    if failure and not failure.was_tried:
        pause = timedelta(seconds=failure.retry_after or 30)
        return _postpone(notification, now + pause, str(failure))
    with transaction.atomic():
        DeliveryAttempt.objects.create(
            notification=notification,
            channel=channel,
            number=notification.attempt_count,
            started_at=now,
            duration_ms=duration_ms,
            is_success=failure is None,
            answer=str(failure) if failure else receipt.answer,
        )
        if failure:
            return _record_failure(notification, failure, now=now)
        return _record_success(notification, receipt, now=now)


def _provider_key(notification: Notification) -> str:
    """Return the key that is the same for every retry, but new if staff resend a delivered message."""
    again = f":again-{notification.sent_at.timestamp():.0f}" if notification.sent_at else ""
    return f"{notification.idempotency_key}{again}"


def _record_success(
    notification: Notification, receipt: Receipt, *, now: datetime
) -> DeliveryOutcome:
    # Not conditional on the lease: the message was sent even if another worker took over.
    Notification.objects.filter(pk=notification.pk).exclude(state=NotificationState.SENT).update(
        state=NotificationState.SENT,
        sent_at=now,
        error="",
        lease=None,
        lease_until=None,
        provider_reference=receipt.reference[:200],
    )
    record_success(notification.channel, now=now)
    _wake_next_in_stream(notification)
    return DeliveryOutcome.SENT


def _record_failure(
    notification: Notification, failure: DeliveryFailed, *, now: datetime
) -> DeliveryOutcome:
    text = str(failure)[:2000]
    is_last = failure.is_permanent or notification.attempt_count >= notification.attempts_allowed
    fields: dict[str, object] = {"error": text, "lease": None, "lease_until": None}
    if is_last:
        fields |= {
            "state": NotificationState.FAILED,
            "is_permanent_failure": failure.is_permanent,
        }
    else:
        pause = backoff(notification.attempt_count, failure.retry_after)
        fields |= {"state": NotificationState.WAITING, "next_attempt_at": now + pause}
    held = Notification.objects.filter(pk=notification.pk, lease=notification.lease)
    held.update(**fields)
    log.warning(
        "delivery failed",
        extra={
            "channel": notification.channel.name,
            "attempt": notification.attempt_count,
            "is_last": is_last,
            "answer": text[:500],
        },
    )
    record_failure(notification.channel, text, is_gone=failure.is_gone, now=now)
    if is_last:
        _add_failure_to_timeline(
            notification, f"{notification.channel.name}: {text[:300]}", now=now
        )
        _wake_next_in_stream(notification)
    return DeliveryOutcome.FAILED if is_last else DeliveryOutcome.RETRY


def _fail(notification: Notification, reason: str, *, now: datetime) -> DeliveryOutcome:
    with transaction.atomic():
        text = f"{reason} (last: {notification.error})" if notification.error else reason
        Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
            state=NotificationState.FAILED, error=text, lease=None, lease_until=None
        )
        _add_failure_to_timeline(
            notification, f"{notification.channel.name}: {text[:300]}", now=now
        )
        _wake_next_in_stream(notification)
    return DeliveryOutcome.GIVEN_UP


def _postpone(notification: Notification, due_at: datetime, reason: str) -> DeliveryOutcome:
    """Return the notification to the queue without counting an attempt, because the provider was not called."""
    Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
        state=NotificationState.WAITING,
        next_attempt_at=due_at,
        attempt_count=F("attempt_count") - 1,
        error=reason[:2000],
        lease=None,
        lease_until=None,
    )
    return DeliveryOutcome.POSTPONED


def _supersede(notification: Notification, reason: str) -> DeliveryOutcome:
    with transaction.atomic():
        Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
            state=NotificationState.SUPERSEDED, error=reason, lease=None, lease_until=None
        )
        _wake_next_in_stream(notification)
    return DeliveryOutcome.SUPERSEDED


def _rate_limit_delay(channel: Channel, now: datetime) -> timedelta | None:
    """Return how long to pause if the channel has reached its limit per minute, else None."""
    minute = timedelta(minutes=1)
    recent = DeliveryAttempt.objects.filter(channel=channel, started_at__gt=now - minute)
    if recent.count() < channel.max_per_minute:
        return None
    oldest = recent.order_by("started_at").first()
    if oldest is None:  # a limit of 0 pauses the channel
        return minute
    return max(oldest.started_at + minute - now, timedelta(seconds=1))


def _add_failure_to_timeline(notification: Notification, text: str, *, now: datetime) -> None:
    if notification.alert:
        add_timeline_entry(notification.alert, AlertEvent.Kind.UNDELIVERED, text, now=now)


def _wake_next_in_stream(notification: Notification) -> None:
    following = (
        Notification.objects.unfinished()
        .filter(stream=notification.stream, pk__gt=notification.pk)
        .order_by("pk")
        .values_list("pk", flat=True)
        .first()
    )
    if following:
        outbox.wake_worker(following)
