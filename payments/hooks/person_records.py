"""Add a person's payments to the export of the person's data."""

from collections.abc import Iterator

from django.urls import reverse

from core.lib.formats import money
from impact.extension_points import Person, PersonRecord, distinct_references, person_records
from payments.models import Payment

CHUNK_SIZE = 200


@person_records(
    "payments",
    label="Payments",
    references=lambda: distinct_references(Payment.objects.all(), "customer"),
)
def payments_of(person: Person) -> Iterator[PersonRecord]:
    payments = (
        Payment.objects.filter(customer__in=person.customers)
        .select_related("app")
        .prefetch_related("timeline")
        .order_by("-pk")
    )
    for payment in payments.iterator(chunk_size=CHUNK_SIZE):
        yield PersonRecord(
            title=f"{money(payment.amount, payment.currency)}, {payment.get_status_display()}",
            at=payment.created_at,
            url=reverse("payments:payment-page", args=[payment.uuid]),
            data={
                "id": str(payment.uuid),
                "app": payment.app.slug,
                "customer": payment.customer,
                "order_id": payment.order_id,
                "reservation_id": payment.reservation_id,
                "organization": payment.organization,
                "stripe_id": payment.intent_id,
                "status": payment.status,
                "amount": payment.amount,
                "amount_received": payment.amount_received,
                "amount_refunded": payment.amount_refunded,
                "currency": payment.currency,
                "request_id": payment.request_id,
                "timeline": [
                    {
                        "at": entry.at.isoformat(timespec="seconds"),
                        "what": entry.what,
                        "detail": entry.detail,
                    }
                    for entry in payment.timeline.all()
                ],
            },
        )
