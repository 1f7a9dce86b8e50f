"""Store each event from Stripe once, before it is processed, and let staff queue events again or ignore them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from core.lib import request_id
from core.lib.queue import enqueue
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import WebhookEvent
from payments.models.webhooks import THIN_EVENT
from payments.reversals import REFUND_METADATA_KEY
from payments.services.alerts import update_dead_event_alert

# Events of other types are stored as ignored, because they change nothing in the portal.
HANDLED_TYPES = (
    "payment_intent.",
    "charge.refunded",
    "charge.refund.updated",
    "charge.dispute.",
    "refund.",
)

# Reconciliation fetches only events of these types, which report changes in amount or status. Stripe accepts at most
# 20 types per request.
RECONCILED_TYPES = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.refunded",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)

# Only these fields of Stripe's objects are stored, at any depth except in `metadata`, because money, status and order
# are read from them. Other fields are or may contain personal data, such as names, addresses, descriptions and
# evidence.
_KEPT_FIELDS = frozenset(
    {"id", "object", "status", "created", "livemode", "currency", "metadata", "type", "code"}
    | {"amount", "amount_received", "amount_capturable", "amount_captured", "amount_refunded"}
    | {"capture_method", "cancellation_reason", "canceled_at", "latest_charge", "decline_code"}
    | {"charge", "payment_intent", "refunded", "disputed", "reason", "failure_reason"}
    | {"evidence_details", "due_by", "has_evidence", "past_due", "submission_count"}
    | {"is_charge_refundable", "last_payment_error", "network_reason_code"}
    | {"balance_transactions"}
)
_KEPT_METADATA = frozenset(
    {PAYMENT_METADATA_KEY, REFUND_METADATA_KEY, "order_id", "reservation_id"}
)


class NotAnEvent(Exception):
    """The body lacks a field that every Stripe event has, or the field is invalid."""


@dataclass(frozen=True)
class Received:
    event: WebhookEvent
    is_new: bool


def record_event(
    data: Mapping[str, Any], *, endpoint: str, livemode: bool, now: datetime
) -> Received:
    """Store the event and queue it. If it is already stored, only count the delivery.

    Raises NotAnEvent if a field that every Stripe event has is missing or invalid.
    """
    event = _parse_event(data, endpoint, livemode, now)
    try:
        with transaction.atomic():
            event.save(force_insert=True)
            if event.state == WebhookEvent.State.PENDING:
                enqueue("payments.tasks.process", event_pk=event.pk)
    except IntegrityError:
        WebhookEvent.objects.filter(event_id=event.event_id).update(deliveries=F("deliveries") + 1)
        return Received(WebhookEvent.objects.get(event_id=event.event_id), is_new=False)
    return Received(event, is_new=True)


def _parse_event(
    data: Mapping[str, Any], endpoint: str, livemode: bool, now: datetime
) -> WebhookEvent:
    try:
        event_id, type_ = data["id"], data["type"]
        is_thin = data.get("object") == THIN_EVENT
        if is_thin:
            type_ = type_.removeprefix("v1.")
            created_at = datetime.fromisoformat(data["created"])
            object_ = {"id": (data.get("related_object") or {}).get("id"), "object": THIN_EVENT}
        else:
            created_at = datetime.fromtimestamp(int(data["created"]), UTC)
            object_ = data["data"]["object"]
        event_livemode = data.get("livemode", False)
        if not (isinstance(event_id, str) and isinstance(type_, str) and isinstance(object_, dict)):
            raise NotAnEvent("`id`, `type` or `object` has the wrong type")
        if created_at.tzinfo is None:
            raise NotAnEvent("the timestamp has no time zone")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise NotAnEvent(type(error).__name__) from error
    if not 1 <= len(event_id) <= 100 or not 1 <= len(type_) <= 100 or "\0" in event_id + type_:
        raise NotAnEvent("`id` or `type` is invalid")
    state, outcome = WebhookEvent.State.PENDING, ""
    if bool(event_livemode) != livemode:
        state, outcome = WebhookEvent.State.IGNORED, "belongs to the other mode (live or test)"
    elif not type_.startswith(HANDLED_TYPES) or (is_thin and not object_["id"]):
        state, outcome = WebhookEvent.State.IGNORED, "this type is not handled"
    return WebhookEvent(
        event_id=event_id,
        endpoint=endpoint[:50],
        type=type_,
        livemode=bool(event_livemode),
        object_id=str(object_.get("id") or "")[:100],
        created_at=created_at,
        received_at=now,
        payload=without_personal_data(object_),
        request_id=request_id.current(),
        state=state,
        outcome=outcome,
        next_try_at=now,
    )


def without_personal_data(value: Any, kept: frozenset[str] = _KEPT_FIELDS) -> Any:
    """Return a copy of a Stripe object with only the fields that contain no personal data.

    Nested objects keep _KEPT_FIELDS, and `metadata` keeps _KEPT_METADATA. NUL characters are removed.
    """
    if isinstance(value, dict):
        return {
            key: without_personal_data(item, _KEPT_METADATA if key == "metadata" else _KEPT_FIELDS)
            for key, item in value.items()
            if key in kept
        }
    if isinstance(value, list):
        return [without_personal_data(item) for item in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def replay_event(event: WebhookEvent, *, now: datetime) -> bool:
    """Queue a dead, ignored or pending event again. Return False if the event has already been processed."""
    unprocessed = WebhookEvent.objects.filter(pk=event.pk).exclude(
        state=WebhookEvent.State.PROCESSED
    )
    with transaction.atomic():
        is_reset = unprocessed.update(
            state=WebhookEvent.State.PENDING,
            tries=0,
            next_try_at=now,
            locked_until=None,
            outcome="",
        )
        if is_reset:
            update_dead_event_alert(now=now)
            enqueue("payments.tasks.process", event_pk=event.pk)
    return bool(is_reset)


def ignore_event(event: WebhookEvent, *, now: datetime) -> bool:
    """Mark a dead or pending event as ignored by staff. Return False if the event is in another state."""
    unsettled = WebhookEvent.objects.filter(
        pk=event.pk, state__in=[WebhookEvent.State.DEAD, WebhookEvent.State.PENDING]
    )
    with transaction.atomic():
        is_ignored = unsettled.update(
            state=WebhookEvent.State.IGNORED, outcome="ignored by staff", processed_at=now
        )
        if is_ignored:
            update_dead_event_alert(now=now)
    return bool(is_ignored)
