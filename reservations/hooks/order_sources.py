"""Report reservations, and payments that must be refunded, as attempts to complete an order."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from core.lib.customers import user_references
from core.lib.uuids import parse_uuids
from impact.extension_points import Wanted, Watch, order_source
from impact.references import Reference, ReferenceKind
from impact.states import Attempt, Stage
from payments.models import Payment
from reservations.models import Discrepancy, Reservation, Status

_STAGES = {Status.COMPLETED: Stage.PAID, Status.REFUND_NEEDED: Stage.REFUND_DUE}


@order_source(
    "reservations",
    kind="reservation",
    watches=(
        Watch("reservations_reservation", ("status", "expires_at", "payment_id", "customer")),
        Watch("reservations_line", ("released",), column="reservation_id", sees_inserts=False),
    ),
    page=lambda reference: reverse("reservations:reservation-page", args=[reference]),
)
def reservation_attempts(wanted: Wanted) -> Iterator[Attempt]:
    match = Q(pk__in=wanted.record_ids)
    if wanted.order_ids:
        match |= Q(order_id__in=wanted.order_ids)
    if wanted.reservation_ids:
        match |= Q(uuid__in=parse_uuids(wanted.reservation_ids))
    if wanted.payment_ids:
        # With a join instead of a subquery, SQLite would use no index for any of these conditions.
        payments = Payment.objects.filter(uuid__in=parse_uuids(wanted.payment_ids))
        match |= Q(payment__in=payments)
    found = Reservation.objects.filter(match).select_related("payment").prefetch_related("lines")
    for reservation in found:
        lines = list(reservation.lines.all())
        ended = _STAGES.get(Status(reservation.status), Stage.ENDED)
        stage = Stage.OPEN if reservation.ended_at is None else ended
        yield Attempt(
            kind="reservation",
            reference=str(reservation.uuid),
            stage=stage,
            status=reservation.status,
            amount=sum(line.kept * line.price for line in lines),
            currency=lines[0].currency if lines else "",
            created_at=reservation.created_at,
            order_id=reservation.order_id,
            payment_id=str(reservation.payment.uuid) if reservation.payment else "",
            until=reservation.expires_at if stage == Stage.OPEN else None,
            settled_at=_settled_at(reservation),
            seats=sum(line.kept for line in lines),
            customer=reservation.customer,
            references=_references(reservation),
        )


def _settled_at(reservation: Reservation) -> datetime | None:
    if reservation.status == Status.EXPIRED and reservation.ended_at:
        # Use the end of the hold, because the clean-up may release it some minutes later.
        return min(reservation.expires_at, reservation.ended_at)
    return reservation.ended_at


def _references(reservation: Reservation) -> frozenset[Reference]:
    found = [(ReferenceKind.REQUEST, reservation.request_id)]
    found += [(ReferenceKind.USER, user) for user in user_references(reservation.customer)]
    return frozenset(Reference(kind.value, value) for kind, value in found if value)


@order_source(
    "refunds_due",
    kind="refund",
    watches=(Watch("reservations_discrepancy", ("settled_at",)),),
    page=lambda reference: reverse("payments:payment-page", args=[reference]),
)
def refunds_due(wanted: Wanted) -> Iterator[Attempt]:
    """Yield an attempt for each open discrepancy of the wanted payments, and for each wanted record.

    The stage is REFUND_DUE while the discrepancy is open and needs a refund, and the payment has money left to refund.
    """
    of_payment = Q()
    if wanted.order_ids:
        of_payment |= Q(payment__order_id__in=wanted.order_ids)
    if wanted.reservation_ids:
        of_payment |= Q(payment__reservation_id__in=wanted.reservation_ids)
    if wanted.payment_ids:
        of_payment |= Q(payment__uuid__in=parse_uuids(wanted.payment_ids))
    match = Q(pk__in=wanted.record_ids)
    if of_payment:
        match |= of_payment & Q(settled_at=None)
    for case in Discrepancy.objects.filter(match).select_related("payment"):
        payment = case.payment
        is_due = case.settled_at is None and case.needs_refund and payment.refundable > 0
        yield Attempt(
            kind="refund" if is_due else "settled",
            reference=str(payment.uuid),
            stage=Stage.REFUND_DUE if is_due else Stage.ENDED,
            status=case.kind,
            amount=payment.refundable,
            currency=payment.currency,
            created_at=payment.created_at,
            order_id=payment.order_id,
            reservation_id=payment.reservation_id,
            payment_id=str(payment.uuid),
            settled_at=case.opened_at,
        )
