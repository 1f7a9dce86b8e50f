"""Erase a person from stored payments."""

from datetime import datetime

from impact.extension_points import Person, eraser
from payments.models import Payment, TimelineEntry


@eraser("payments")
def erase_from_payments(person: Person, limit: int, now: datetime) -> int:
    """Clear the customer, and the fingerprint of the request, which is computed from the customer.

    No other erasure is needed: stored events from Stripe contain no personal data, and the description and metadata of
    a request are deleted when the payment is finished.
    """
    named = Payment.objects.filter(customer__in=person.customers).order_by("pk")
    found = list(named.values_list("pk", flat=True)[:limit])
    Payment.objects.filter(pk__in=found).update(customer="", fingerprint="")
    TimelineEntry.objects.bulk_create(
        TimelineEntry(payment_id=pk, at=now, what="customer erased") for pk in found
    )
    return len(found)
