"""The story of one payment, from the request to the seats: what the payment's page shows."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType

from alerts.impact import References, Touched, registry
from opsportal.lib.formats import money
from payments.models import Payment, WebhookEvent


@dataclass(frozen=True)
class Moment:
    at: datetime
    who: str  # "App", "Portal", "Stripe" or a person
    what: str
    detail: str = ""
    is_bad: bool = False


def story_of(payment: Payment) -> list[Moment]:
    """Everything that is known to have happened, oldest first."""
    moments = [
        Moment(payment.created_at, str(payment.app), f"asked for {payment.shown_amount}"),
        *_entries(payment),
        *_events(payment),
        *_refunds(payment),
        *_by_people(payment),
    ]
    if payment.finished_at:
        moments.append(
            Moment(
                payment.finished_at,
                "Portal",
                f"answered {payment.response_status}",
                payment.error or payment.intent_id or "",
                is_bad=(payment.response_status or 0) >= 400,
            )
        )
    return sorted(moments, key=lambda moment: moment.at)


def _entries(payment: Payment) -> list[Moment]:
    bad = ("no answer", "abandoned", "disputed", "reservation refund needed")
    return [
        Moment(entry.at, "Portal", entry.what, entry.detail, is_bad=entry.what in bad)
        for entry in payment.timeline.all()
    ]


def _events(payment: Payment) -> list[Moment]:
    moments = []
    for event in payment.events.all():
        repeated = f", delivered {event.deliveries} times" if event.deliveries > 1 else ""
        detail = f"{event.outcome}{repeated}"
        is_bad = event.state == WebhookEvent.State.DEAD
        moments.append(Moment(event.received_at, "Stripe", event.type, detail, is_bad))
    return moments


def _refunds(payment: Payment) -> list[Moment]:
    return [
        Moment(
            refund.settled_at,
            "Stripe",
            f"refund {refund.state}",
            refund.error or money(refund.amount, payment.currency),
            is_bad=refund.state == refund.State.FAILED,
        )
        for refund in payment.refunds.all()
        if refund.settled_at
    ]


def _by_people(payment: Payment) -> list[Moment]:
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Payment), object_id=str(payment.pk)
    ).select_related("user")
    return [
        Moment(entry.action_time, entry.user.get_username(), entry.get_change_message())
        for entry in entries
    ]


def reservations_of(payment: Payment) -> list[Touched]:
    """What it paid for, told by whoever knows: the floor above registers itself."""
    if not payment.reservation_id:
        return []
    asked = References(reservation_ids=frozenset({payment.reservation_id}))
    return [
        touched for source in registry for touched in source(asked) if touched.kind != "payment"
    ]
