"""The reservations that a problem affected."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from alerts.extension_points import References, Touched, TouchedKind, impact_source
from core.lib.uuids import parse_uuids
from payments.customers import customer_references
from payments.hooks.impact_sources import SETTLED
from payments.models import Payment
from reservations.models import Reservation, Status

MAX_TOUCHED = 200


@impact_source("reservations")
def touched_reservations(references: References) -> Iterator[Touched]:
    touched = list(
        Reservation.objects.filter(_match(references))
        .prefetch_related("lines")
        .order_by("-created_at", "-pk")[:MAX_TOUCHED]
    )
    # The amount of a reservation with an unsettled payment is counted with the payment.
    ids = [str(reservation.uuid) for reservation in touched]
    counted = set(
        Payment.objects.filter(reservation_id__in=ids)
        .exclude(status__in=SETTLED)
        .values_list("reservation_id", flat=True)
    )
    for reservation in touched:
        lines = list(reservation.lines.all())
        yield Touched(
            kind=TouchedKind.RESERVATION,
            reference=str(reservation.uuid),
            state=reservation.status,
            amount=None if str(reservation.uuid) in counted else sum(line.amount for line in lines),
            currency=lines[0].currency if lines else "",
            seats=sum(line.kept for line in lines),
            url=reverse("reservations:reservation-page", args=[reservation.uuid]),
            at_risk=reservation.status in (Status.ACTIVE, Status.REFUND_NEEDED),
        )


def _match(references: References) -> Q:
    """Return the condition for the referenced reservations.

    If nothing is referenced but a period is known, these are the active holds of that period.
    """
    match = Q(pk__in=())
    uuids = parse_uuids(references.reservation_ids)
    if uuids:
        match |= Q(uuid__in=uuids)
    if references.order_ids:
        match |= Q(order_id__in=references.order_ids)
    if references.request_ids:
        match |= Q(request_id__in=references.request_ids)
    if references.user_ids:
        match |= Q(
            customer__in=[one for user in references.user_ids for one in customer_references(user)]
        )
    if references.payment_ids:
        paid = parse_uuids(references.payment_ids)
        match |= Q(payment__intent_id__in=references.payment_ids) | Q(payment__uuid__in=paid)
    is_empty = not any(
        (
            references.reservation_ids,
            references.order_ids,
            references.request_ids,
            references.user_ids,
            references.payment_ids,
        )
    )
    if is_empty and references.since is not None:
        match = Q(created_at__gte=references.since, status=Status.ACTIVE)
        if references.until is not None:
            match &= Q(created_at__lte=references.until)
    return match
