"""Take in what Stripe tells: logged once, before anything is done about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from opsportal.lib import request_id
from opsportal.lib.queue import enqueue
from payments.models import WebhookEvent
from payments.services.alerts import tell_of_dead_events

# What we act upon; everything else is kept and ignored.
HANDLED = ("payment_intent.", "charge.refunded", "charge.dispute.created", "refund.")

# Never stored: what opens an intent, and who the buyer is.
_LEFT_OUT = frozenset(
    {"client_secret", "billing_details", "shipping", "receipt_email", "receipt_url", "email"}
    | {"phone", "address", "customer_details", "customer_email", "name", "payment_method_details"}
    | {
        "source",
        "fingerprint",
        "evidence",
        "ip",
        "next_action",
        "charges",
        "payment_method_options",
    }
)


class NotAnEvent(Exception):
    """A body that lacks what every Stripe event has."""


@dataclass(frozen=True)
class Received:
    event: WebhookEvent
    is_new: bool


def record_event(
    data: Mapping[str, Any], *, endpoint: str, livemode: bool, now: datetime
) -> Received:
    """The event's row, made if this is its first delivery, and a nudge to process it. Raises NotAnEvent."""
    event = _event_of(data, endpoint, livemode, now)
    try:
        with transaction.atomic():
            event.save(force_insert=True)
            if event.state == WebhookEvent.State.PENDING:
                enqueue("payments.tasks.process", event_pk=event.pk)
    except IntegrityError:
        WebhookEvent.objects.filter(event_id=event.event_id).update(deliveries=F("deliveries") + 1)
        return Received(WebhookEvent.objects.get(event_id=event.event_id), is_new=False)
    return Received(event, is_new=True)


def _event_of(
    data: Mapping[str, Any], endpoint: str, livemode: bool, now: datetime
) -> WebhookEvent:
    try:
        event_id, type_ = data["id"], data["type"]
        created_at = datetime.fromtimestamp(int(data["created"]), UTC)
        object_ = data["data"]["object"]
        told_livemode = data.get("livemode", False)
        if not (isinstance(event_id, str) and isinstance(type_, str) and isinstance(object_, dict)):
            raise NotAnEvent("id, type or object are of the wrong kind")
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise NotAnEvent(type(error).__name__) from error
    if not 1 <= len(event_id) <= 100 or not 1 <= len(type_) <= 100 or "\0" in event_id + type_:
        raise NotAnEvent("an id or type that cannot be one")
    state, outcome = WebhookEvent.State.PENDING, ""
    if bool(told_livemode) != livemode:
        state, outcome = WebhookEvent.State.IGNORED, "of the other mode (live or test)"
    elif not type_.startswith(HANDLED):
        state, outcome = WebhookEvent.State.IGNORED, "nothing to do for this type"
    return WebhookEvent(
        event_id=event_id,
        endpoint=endpoint[:50],
        type=type_,
        livemode=bool(told_livemode),
        object_id=str(object_.get("id") or "")[:100],
        created_at=created_at,
        received_at=now,
        payload=_kept(object_),
        request_id=request_id.current(),
        state=state,
        outcome=outcome,
        next_try_at=now,
    )


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list):
        return [_kept(item) for item in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def replay_event(event: WebhookEvent, *, now: datetime) -> bool:
    """Have a dead, ignored or waiting event processed afresh. False when it was processed meanwhile."""
    again = WebhookEvent.objects.filter(pk=event.pk).exclude(state=WebhookEvent.State.PROCESSED)
    with transaction.atomic():
        set_ = again.update(
            state=WebhookEvent.State.PENDING,
            tries=0,
            next_try_at=now,
            locked_until=None,
            outcome="",
        )
        if set_:
            tell_of_dead_events(now=now)
            enqueue("payments.tasks.process", event_pk=event.pk)
    return bool(set_)


def set_aside(event: WebhookEvent, *, now: datetime) -> bool:
    """Staff's decision that nothing is to be done about a dead or waiting event."""
    aside = WebhookEvent.objects.filter(
        pk=event.pk, state__in=[WebhookEvent.State.DEAD, WebhookEvent.State.PENDING]
    )
    with transaction.atomic():
        done = aside.update(
            state=WebhookEvent.State.IGNORED, outcome="set aside by staff", processed_at=now
        )
        if done:
            tell_of_dead_events(now=now)
    return bool(done)
