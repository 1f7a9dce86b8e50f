"""Which payments a problem touched."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from alerts.extension_points import References, Touched, impact_source
from core.lib.uuids import parse_uuids
from payments.customers import customer_reference
from payments.models import Payment, PaymentStatus

AT_MOST = 200
# Money is safe once Stripe has it, and when it is certain that it will not come.
SETTLED = (
    PaymentStatus.SUCCEEDED,
    PaymentStatus.CANCELED,
    PaymentStatus.REFUSED,
    PaymentStatus.ABANDONED,
)


@impact_source("payments")
def touched_payments(references: References) -> Iterator[Touched]:
    touched = Payment.objects.filter(_named(references))
    for payment in touched.order_by("-created_at", "-pk")[:AT_MOST]:
        yield Touched(
            kind="payment",
            reference=str(payment.uuid),
            state=payment.status,
            amount=payment.amount,
            currency=payment.currency,
            url=reverse("payments:payment-page", args=[payment.uuid]),
            at_risk=payment.status not in SETTLED,
        )


def _named(references: References) -> Q:
    """Those named; where nothing is named and a time is known, those of that time whose money is not safe."""
    named = Q(pk__in=())
    if references.payment_ids:
        named |= Q(intent_id__in=references.payment_ids)
        named |= Q(uuid__in=parse_uuids(references.payment_ids))
    if references.order_ids:
        named |= Q(order_id__in=references.order_ids)
    if references.reservation_ids:
        named |= Q(reservation_id__in=references.reservation_ids)
    if references.request_ids:
        named |= Q(request_id__in=references.request_ids)
    if references.user_ids:
        named |= Q(customer__in=[customer_reference(user) for user in references.user_ids])
    if named == Q(pk__in=()) and references.since is not None:
        named = Q(created_at__gte=references.since) & ~Q(status__in=SETTLED)
        if references.until is not None:
            named &= Q(created_at__lte=references.until)
    return named
