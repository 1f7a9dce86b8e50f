"""Sending what the outbox holds: claim, call, record. A claim is committed before the call, so two workers never both send."""

import logging
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from alerts import messages
from alerts.channels import DeliveryFailed, Message, Receipt, configuration, missing, transport_of
from alerts.models import (
    UNFINISHED,
    AlertEvent,
    Channel,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.services import outbox
from alerts.services.channel_state import failed_on, worked_on
from alerts.services.notifications import FIRING
from alerts.services.transitions import note

log = logging.getLogger(__name__)

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=10)
AT_ONCE = 200  # notifications per sweep
SWEEP_SECONDS = 40.0  # the sweep's job has 50


def deliver(*, notification_id: int, now: datetime) -> str:
    """Send one notification if it is due and nobody else has it; what came of it, in a word."""
    lease = Notification.objects.claim(notification_id, now=now)
    if lease is None:
        return "not due"
    notification = Notification.objects.select_related("channel", "alert").get(pk=notification_id)
    if notification.deadline_at < now:
        return _give_up(notification, "its deadline passed before it could be sent", now=now)
    if notification.attempt_count > notification.attempts_allowed:
        return _give_up(notification, "the worker that was sending it died", now=now)
    wait = _over_its_cap(notification.channel, now)
    if wait:
        return _put_back(notification, now + wait, "waits for its channel's rate cap")
    message = _as_it_is_now(notification)
    if message is None:
        return _supersede(notification, "nobody was told of its beginning")
    return _send(notification, message, now=now)


def deliver_waiting(*, now: datetime) -> dict[str, int]:
    """What lost nudges, retries and dead workers left behind. A channel that fails is left alone until the next sweep."""
    outcomes: dict[str, int] = {}
    ends_at = time.monotonic() + SWEEP_SECONDS
    failing: set[int] = set()
    for pk, channel_id in _due(now):
        if time.monotonic() > ends_at:
            break
        if channel_id in failing:
            continue
        outcome = deliver(notification_id=pk, now=now)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if outcome in ("retry", "failed", "postponed"):
            failing.add(channel_id)
    return outcomes


def resend(notification: Notification, *, now: datetime) -> bool:
    """Staff want it tried again, also after it was sent: three more attempts, its history kept."""
    changed = (
        Notification.objects.filter(pk=notification.pk)
        .exclude(state__in=UNFINISHED)
        .update(
            state=NotificationState.WAITING,
            next_attempt_at=now,
            deadline_at=now + outbox.DEADLINE,
            attempts_allowed=F("attempt_count") + 3,
            is_permanent_failure=False,
        )
    )
    if changed:
        outbox.nudge(notification.pk)
    return bool(changed)


def backoff(attempt: int, retry_after: float | None) -> timedelta:
    """Full jitter over a doubling wait, and never earlier than the provider asks."""
    longest = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT)
    asked = timedelta(seconds=min(retry_after or 0, 3600))
    jittered: timedelta = longest * random.random()  # noqa: S311
    return max(jittered, asked)


def _due(now: datetime) -> Iterator[tuple[int, int]]:
    """In the order they were written; sending one may make the next of its stream due, hence more than one look."""
    seen: set[int] = set()
    while len(seen) < AT_ONCE:
        due = Notification.objects.due(now).filter(channel__is_enabled=True).exclude(pk__in=seen)
        found = list(due.order_by("pk").values_list("pk", "channel_id")[:50])
        if not found:
            return
        for pk, channel_id in found:
            seen.add(pk)
            yield pk, channel_id


def _as_it_is_now(notification: Notification) -> Message | None:
    """The frozen message; an end is told differently (or, to some services, not at all) when no beginning went out."""
    message = messages.thawed(notification.payload)
    if notification.kind != Notification.Kind.RESOLVED:
        return message
    before = (
        Notification.objects.filter(
            stream=notification.stream,
            pk__lt=notification.pk,
            sent_at__isnull=False,
            kind__in=[*FIRING, Notification.Kind.RESOLVED],
        )
        .order_by("-pk")
        .values_list("kind", flat=True)
        .first()
    )
    if before in FIRING:
        return message
    if not transport_of(notification.channel).tells_unannounced_end:
        return None
    return messages.of_unannounced_end(message)


def _send(notification: Notification, message: Message, *, now: datetime) -> str:
    channel = notification.channel
    started = time.monotonic()
    failure: DeliveryFailed | None = None
    receipt = Receipt()
    try:
        lacking = missing(channel)
        if lacking:
            raise DeliveryFailed(f"not configured: {', '.join(lacking)}", permanent=True)
        receipt = transport_of(channel).send(
            message, configuration(channel), idempotency_key=_key_for_provider(notification)
        )
    except DeliveryFailed as error:
        failure = error
    except Exception as error:
        # A fault of ours; it must be seen, and must not keep the notification claimed.
        log.exception("channel failed unexpectedly", extra={"channel": channel.name})
        failure = DeliveryFailed(f"{type(error).__name__}: {error}")
    took_ms = int((time.monotonic() - started) * 1000)
    if failure and not failure.was_tried:
        pause = timedelta(seconds=failure.retry_after or 30)
        return _put_back(notification, now + pause, str(failure))
    with transaction.atomic():
        DeliveryAttempt.objects.create(
            notification=notification,
            channel=channel,
            number=notification.attempt_count,
            started_at=now,
            duration_ms=took_ms,
            is_success=failure is None,
            answer=str(failure) if failure else receipt.answer,
        )
        if failure:
            return _record_failure(notification, failure, now=now)
        return _record_success(notification, receipt, now=now)


def _key_for_provider(notification: Notification) -> str:
    """The same for every retry; a new one when staff want a message that was taken sent again."""
    again = f":again-{notification.sent_at.timestamp():.0f}" if notification.sent_at else ""
    return f"{notification.idempotency_key}{again}"


def _record_success(notification: Notification, receipt: Receipt, *, now: datetime) -> str:
    # Whoever holds the lease now: that it was sent is true either way.
    Notification.objects.filter(pk=notification.pk).exclude(state=NotificationState.SENT).update(
        state=NotificationState.SENT,
        sent_at=now,
        error="",
        lease=None,
        lease_until=None,
        provider_reference=receipt.reference[:200],
    )
    worked_on(notification.channel, now=now)
    _nudge_next(notification)
    return "sent"


def _record_failure(notification: Notification, failure: DeliveryFailed, *, now: datetime) -> str:
    text = str(failure)[:2000]
    is_last = failure.permanent or notification.attempt_count >= notification.attempts_allowed
    fields: dict[str, object] = {"error": text, "lease": None, "lease_until": None}
    if is_last:
        fields |= {
            "state": NotificationState.FAILED,
            "is_permanent_failure": failure.permanent,
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
    failed_on(notification.channel, text, is_gone=failure.gone, now=now)
    if is_last:
        _tell_timeline(notification, f"{notification.channel.name}: {text[:300]}", now=now)
        _nudge_next(notification)
    return "failed" if is_last else "retry"


def _give_up(notification: Notification, reason: str, *, now: datetime) -> str:
    with transaction.atomic():
        text = f"{reason} (last: {notification.error})" if notification.error else reason
        Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
            state=NotificationState.FAILED, error=text, lease=None, lease_until=None
        )
        _tell_timeline(notification, f"{notification.channel.name}: {text[:300]}", now=now)
        _nudge_next(notification)
    return "given up"


def _put_back(notification: Notification, due_at: datetime, reason: str) -> str:
    """Nobody was called, so it was no attempt."""
    Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
        state=NotificationState.WAITING,
        next_attempt_at=due_at,
        attempt_count=F("attempt_count") - 1,
        error=reason[:2000],
        lease=None,
        lease_until=None,
    )
    return "postponed"


def _supersede(notification: Notification, reason: str) -> str:
    with transaction.atomic():
        Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
            state=NotificationState.SUPERSEDED, error=reason, lease=None, lease_until=None
        )
        _nudge_next(notification)
    return "superseded"


def _over_its_cap(channel: Channel, now: datetime) -> timedelta | None:
    """How long the channel must pause, having sent as much within a minute as it may."""
    minute = timedelta(minutes=1)
    recent = DeliveryAttempt.objects.filter(channel=channel, started_at__gt=now - minute)
    if recent.count() < channel.max_per_minute:
        return None
    oldest = recent.order_by("started_at").first()
    if oldest is None:  # a cap of none
        return minute
    return max(oldest.started_at + minute - now, timedelta(seconds=1))


def _tell_timeline(notification: Notification, text: str, *, now: datetime) -> None:
    if notification.alert:
        note(notification.alert, AlertEvent.Kind.UNDELIVERED, text, now=now)


def _nudge_next(notification: Notification) -> None:
    following = (
        Notification.objects.unfinished()
        .filter(stream=notification.stream, pk__gt=notification.pk)
        .order_by("pk")
        .values_list("pk", flat=True)
        .first()
    )
    if following:
        outbox.nudge(following)
