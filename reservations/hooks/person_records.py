"""Add a person's reservations and places on waiting lists to the export of the person's data."""

from collections.abc import Iterator

from django.urls import reverse

from impact.extension_points import Person, PersonRecord, distinct_references, person_records
from reservations.models import Reservation, WaitingEntry

CHUNK_SIZE = 200


@person_records(
    "reservations",
    label="Reservations",
    references=lambda: distinct_references(Reservation.objects.all(), "customer"),
)
def reservations_of(person: Person) -> Iterator[PersonRecord]:
    reservations = (
        Reservation.objects.filter(customer__in=person.customers)
        .select_related("app")
        .prefetch_related("lines__ticket_type__event")
        .order_by("-pk")
    )
    for reservation in reservations.iterator(chunk_size=CHUNK_SIZE):
        lines = list(reservation.lines.all())
        wished = ", ".join(f"{line.quantity} x {line.ticket_type.name}" for line in lines)
        yield PersonRecord(
            title=f"{wished}, {reservation.get_status_display()}",
            at=reservation.created_at,
            url=reverse("reservations:reservation-page", args=[reservation.uuid]),
            data={
                "id": str(reservation.uuid),
                "app": reservation.app.slug,
                "customer": reservation.customer,
                "order_id": reservation.order_id,
                "status": reservation.status,
                "request_id": reservation.request_id,
                "tickets": [
                    {
                        "event": line.ticket_type.event.name,
                        "type": line.ticket_type.name,
                        "quantity": line.quantity,
                        "released": line.released,
                        "price": line.price,
                        "currency": line.currency,
                    }
                    for line in lines
                ],
            },
        )


@person_records(
    "waiting_entries",
    label="Waiting lists",
    references=lambda: distinct_references(WaitingEntry.objects.all(), "customer"),
)
def waiting_entries_of(person: Person) -> Iterator[PersonRecord]:
    entries = (
        WaitingEntry.objects.filter(customer__in=person.customers)
        .select_related("app", "ticket_type__event")
        .order_by("-pk")
    )
    for entry in entries.iterator(chunk_size=CHUNK_SIZE):
        type_ = entry.ticket_type
        yield PersonRecord(
            title=f"{entry.quantity} x {type_.name}, {entry.get_state_display()}",
            at=entry.created_at,
            data={
                "id": str(entry.uuid),
                "app": entry.app.slug,
                "customer": entry.customer,
                "order_id": entry.order_id,
                "event": type_.event.name,
                "type": type_.name,
                "quantity": entry.quantity,
                "state": entry.state,
            },
        )
