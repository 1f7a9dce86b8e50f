"""Find a person by an id, an address or an order, and read the records about that person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from core.lib.customers import address_hashes, customer_references, user_references
from impact.extension_points import Person, PersonRecord, RecordSource, record_sources
from impact.models import Order
from impact.references import PRECISE_KINDS
from impact.services.catch_up import catch_up

# The page shows at most this many records of each kind. The export contains all records.
MAX_SHOWN = 100


@dataclass(frozen=True)
class Section:
    """The records of one kind that the page shows."""

    label: str
    records: Sequence[PersonRecord]
    has_more: bool


def find_person(given: str) -> Person:
    """Return the person with this customer id, e-mail address or phone number, or this stored reference."""
    return person_of(customer_references(given), address_hashes(given))


def customers_of_order(given: str) -> list[str]:
    """Return the customers of the orders that have this order, payment or reservation id."""
    catch_up()
    orders = Order.objects.filter(
        references__kind__in=PRECISE_KINDS, references__value=given.strip()
    )
    return sorted(set(orders.exclude(customer="").values_list("customer", flat=True)))


def person_of(customers: Sequence[str], addresses: Sequence[str]) -> Person:
    """Return the person with these references in payments and reservations, and these hashes of the e-mail address."""
    users = {user for customer in customers for user in user_references(customer)}
    return Person(frozenset(customers), frozenset(users), frozenset(addresses))


def sections(person: Person) -> list[Section]:
    """Return up to MAX_SHOWN records of each kind."""
    return [_section(source, person) for source in record_sources]


def _section(source: RecordSource, person: Person) -> Section:
    records = list(islice(source.read(person), MAX_SHOWN + 1))
    return Section(source.label, records[:MAX_SHOWN], len(records) > MAX_SHOWN)


def all_records(person: Person) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (kind, data) for each record about the person."""
    for source in record_sources:
        for record in source.read(person):
            yield source.name, {"at": record.at.isoformat(timespec="seconds"), **record.data}
