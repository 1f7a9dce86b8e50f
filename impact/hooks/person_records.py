"""Contribute the entries on win-back lists to the data of a person."""

from collections.abc import Iterator

from django.urls import reverse

from core.lib.formats import money
from impact.extension_points import Person, PersonRecord, distinct_references, person_records
from impact.models import WinBackEntry

CHUNK_SIZE = 200


@person_records(
    "list_entries",
    label="Lists of buyers to win back",
    references=lambda: distinct_references(WinBackEntry.objects.all(), "customer"),
)
def list_entries_of(person: Person) -> Iterator[PersonRecord]:
    entries = (
        WinBackEntry.objects.filter(customer__in=person.customers)
        .select_related("list")
        .order_by("-pk")
    )
    for entry in entries.iterator(chunk_size=CHUNK_SIZE):
        yield PersonRecord(
            title=f"{money(entry.amount, entry.currency)}, {entry.list.title}",
            at=entry.lost_at or entry.list.created_at,
            url=reverse("impact:list", args=[entry.list_id]),
            data={
                "list": entry.list.title,
                "customer": entry.customer,
                "order": entry.order_key.partition(":")[2],
                "amount": entry.amount,
                "currency": entry.currency,
                "seats": entry.seats,
            },
        )
