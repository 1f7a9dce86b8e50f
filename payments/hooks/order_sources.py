"""Report payments as attempts to complete an order."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Max, Q
from django.db.models.functions import Coalesce
from django.urls import reverse

from core.lib.customers import user_references
from core.lib.uuids import parse_uuids
from impact.extension_points import Wanted, Watch, order_source
from impact.references import Reference, ReferenceKind
from impact.states import Attempt, Stage
from payments.models import Dispute, Payment, PaymentStatus, TimelineEntry

# Buyers rarely return after a day, although their intent can still be paid. After this time, the attempt has ended
# without a payment.
RECOVERABLE_FOR = timedelta(hours=24)
_NOT_PAID = (PaymentStatus.CANCELED, PaymentStatus.REFUSED, PaymentStatus.ABANDONED)
# The outcome of a payment with one of these statuses no longer depends on the buyer.
_IN_FLIGHT = (PaymentStatus.ASKED, PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_CAPTURE)


@order_source(
    "payments",
    kind="payment",
    watches=(
        Watch(
            "payment_intents_log",
            ("status", "amount_received", "amount_refunded", "intent_id", "state", "order_id",
             "reservation_id", "amount", "customer", "amount_disputed", "organization"),
        ),
    ),
    page=lambda reference: reverse("payments:payment-page", args=[reference]),
)  # fmt: skip
def payment_attempts(wanted: Wanted) -> Iterator[Attempt]:
    match = Q(pk__in=wanted.record_ids)
    if wanted.order_ids:
        match |= Q(order_id__in=wanted.order_ids)
    if wanted.reservation_ids:
        match |= Q(reservation_id__in=wanted.reservation_ids)
    if wanted.payment_ids:
        match |= Q(uuid__in=parse_uuids(wanted.payment_ids))
    payments = list(Payment.objects.filter(match).defer("response_body", "request_body"))
    reversed_at = _find_reversals(
        [one.pk for one in payments if one.status == PaymentStatus.SUCCEEDED and not one.refundable]
    )
    for payment in payments:
        yield _attempt(payment, reversed_at.get(payment.pk))


def _find_reversals(payment_ids: list[int]) -> dict[int, datetime]:
    """Return, by payment id, the time when a refund or a dispute last took money.

    A dispute that an earlier version stored may have no time of the withdrawal, so that its opening counts.
    """
    refunds = TimelineEntry.objects.filter(payment__in=payment_ids, what="refunded")
    disputes = Dispute.objects.with_funds_withdrawn().filter(payment__in=payment_ids)
    found: dict[int, datetime] = {}
    for pk, at in [
        *refunds.values_list("payment").annotate(last_at=Max("at")).order_by(),
        *disputes.values_list("payment")
        .annotate(last_at=Max(Coalesce("withdrawn_at", "opened_at")))
        .order_by(),
    ]:
        found[pk] = max(at, found.get(pk, at))
    return found


def _attempt(payment: Payment, reversed_at: datetime | None) -> Attempt:
    stage, amount = Stage.OPEN, payment.amount
    settled_at, until = None, None
    changed_at = payment.status_at or payment.finished_at or payment.created_at
    if payment.status == PaymentStatus.SUCCEEDED and payment.refundable > 0:
        stage, amount, settled_at = Stage.PAID, payment.refundable, changed_at
    elif payment.status == PaymentStatus.SUCCEEDED:
        stage, settled_at = Stage.ENDED, reversed_at or changed_at
    elif payment.status in _NOT_PAID:
        stage, settled_at = Stage.ENDED, changed_at
    elif payment.status not in _IN_FLIGHT:
        until = payment.created_at + RECOVERABLE_FOR
    return Attempt(
        kind="payment",
        reference=str(payment.uuid),
        stage=stage,
        status=payment.shown_status,
        amount=amount,
        currency=payment.currency,
        created_at=payment.created_at,
        order_id=payment.order_id,
        reservation_id=payment.reservation_id,
        until=until,
        settled_at=settled_at,
        customer=payment.customer,
        references=_references(payment),
    )


def _references(payment: Payment) -> frozenset[Reference]:
    found = [
        (ReferenceKind.REQUEST, payment.request_id),
        (ReferenceKind.PAYMENT, payment.intent_id),
    ]
    found += [(ReferenceKind.USER, user) for user in user_references(payment.customer)]
    found.append((ReferenceKind.ORGANIZATION, payment.organization))
    # Add the reservation's id even if the portal has no such reservation.
    found.append((ReferenceKind.RESERVATION, payment.reservation_id))
    return frozenset(Reference(kind.value, str(value)) for kind, value in found if value)
