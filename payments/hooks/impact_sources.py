"""The payments that a problem affected."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from alerts.extension_points import References, Touched, TouchedKind, impact_source
from core.lib.uuids import parse_uuids
from payments.customers import customer_references
from payments.models import Payment, PaymentStatus

MAX_TOUCHED = 200
# Money is not at risk once Stripe has it, or once it is certain that it will not be paid.
SETTLED = (
    PaymentStatus.SUCCEEDED,
    PaymentStatus.CANCELED,
    PaymentStatus.REFUSED,
    PaymentStatus.ABANDONED,
)


@impact_source("payments")
def touched_payments(references: References) -> Iterator[Touched]:
    touched = Payment.objects.filter(_match(references))
    for payment in touched.order_by("-created_at", "-pk")[:MAX_TOUCHED]:
        yield Touched(
            kind=TouchedKind.PAYMENT,
            reference=str(payment.uuid),
            state=payment.status,
            amount=payment.amount,
            currency=payment.currency,
            url=reverse("payments:payment-page", args=[payment.uuid]),
            at_risk=payment.status not in SETTLED,
        )


def _match(references: References) -> Q:
    """Return the condition for the referenced payments.

    If nothing is referenced but a period is known, these are the unsettled payments of that period.
    """
    match = Q(pk__in=())
    if references.payment_ids:
        match |= Q(intent_id__in=references.payment_ids)
        match |= Q(uuid__in=parse_uuids(references.payment_ids))
    if references.order_ids:
        match |= Q(order_id__in=references.order_ids)
    if references.reservation_ids:
        match |= Q(reservation_id__in=references.reservation_ids)
    if references.request_ids:
        match |= Q(request_id__in=references.request_ids)
    if references.user_ids:
        match |= Q(
            customer__in=[one for user in references.user_ids for one in customer_references(user)]
        )
    if match == Q(pk__in=()) and references.since is not None:
        match = Q(created_at__gte=references.since) & ~Q(status__in=SETTLED)
        if references.until is not None:
            match &= Q(created_at__lte=references.until)
    return match
