"""Build the timeline that a payment's page shows, from the request to the seats."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType

from core.lib.customers import PREFIX
from core.lib.formats import money
from payments.extension_points import PaidItem
from payments.models import Payment, PaymentStatus, Refund, WebhookEvent


@dataclass(frozen=True)
class TimelineItem:
    """One line of a payment's timeline."""

    at: datetime
    actor: str  # Names the app or the user, or is "Portal" or "Stripe".
    what: str
    detail: str = ""
    is_bad: bool = False


def build_timeline(payment: Payment) -> list[TimelineItem]:
    """Return the timeline of the payment, oldest item first."""
    items = [
        TimelineItem(payment.created_at, str(payment.app), f"requested {payment.formatted_amount}"),
        *_entries(payment),
        *_events(payment),
        *_refunds(payment),
        *_staff_actions(payment),
    ]
    if payment.finished_at:
        items.append(
            TimelineItem(
                payment.finished_at,
                "Portal",
                f"responded with {payment.response_status}",
                payment.error or payment.intent_id or "",
                is_bad=(payment.response_status or 0) >= 400,
            )
        )
    return sorted(items, key=lambda item: item.at)


def _entries(payment: Payment) -> list[TimelineItem]:
    bad = ("no answer", "abandoned", "refund failed", "dispute: lost", "reservation refund needed")
    return [
        TimelineItem(
            entry.at, "Portal", _readable(entry.what), _readable(entry.detail), entry.what in bad
        )
        for entry in payment.timeline.all()
    ]


def _readable(text: str) -> str:
    """Replace the names of statuses in a text, such as "was requires_payment_method", by their words."""
    for status in PaymentStatus:
        if "_" in status:
            text = text.replace(status, status.replace("_", " "))
    return text


def _events(payment: Payment) -> list[TimelineItem]:
    items = []
    for event in payment.events.all():
        repeated = f", delivered {event.deliveries} times" if event.deliveries > 1 else ""
        detail = f"{event.outcome}{repeated}"
        is_bad = event.state == WebhookEvent.State.DEAD
        items.append(TimelineItem(event.received_at, "Stripe", event.type, detail, is_bad))
    return items


def _refunds(payment: Payment) -> list[TimelineItem]:
    return [
        TimelineItem(
            refund.settled_at,
            "Stripe",
            f"refund {refund.state}",
            refund.error or money(refund.amount, payment.currency),
            is_bad=refund.state == Refund.State.FAILED,
        )
        for refund in payment.refunds.all()
        if refund.settled_at
    ]


def _staff_actions(payment: Payment) -> list[TimelineItem]:
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Payment), object_id=str(payment.pk)
    ).select_related("user")
    return [
        TimelineItem(entry.action_time, entry.user.get_username(), entry.get_change_message())
        for entry in entries
    ]


def describe_payment(payment: Payment, items: Sequence[PaidItem]) -> str:
    """Return the order, the customer and the tickets of a payment in one line."""
    parts = [
        f"Order {payment.order_id}" if payment.order_id else "",
        f"Customer {shorten_reference(payment.customer)}" if payment.customer else "",
        *(str(item) for item in items),
    ]
    return "; ".join(part for part in parts if part)


def shorten_reference(customer: str) -> str:
    """Return a customer's id, or a phrase with the first 8 characters of the hash that replaces an e-mail address."""
    if customer.startswith(PREFIX):
        return f"with e-mail hash {customer.removeprefix(PREFIX)[:8]}"
    return customer
