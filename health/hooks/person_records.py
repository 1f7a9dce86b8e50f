"""Add a person's subscriptions to the status page to the export of the person's data."""

from collections.abc import Iterator

from health.models import Subscriber
from impact.extension_points import Person, PersonRecord, distinct_references, person_records


@person_records(
    "subscribers",
    label="Subscriptions to the status page",
    references=lambda: distinct_references(Subscriber.objects.all(), "address_hash"),
)
def subscriptions_of(person: Person) -> Iterator[PersonRecord]:
    for subscriber in Subscriber.objects.filter(address_hash__in=person.addresses):
        confirmed_at = subscriber.confirmed_at
        yield PersonRecord(
            title=f"{subscriber.get_kind_display()}, {'confirmed' if confirmed_at else 'not confirmed'}",
            at=subscriber.asked_at,
            data={
                "kind": subscriber.kind,
                "confirmed_at": confirmed_at.isoformat(timespec="seconds") if confirmed_at else "",
            },
        )
