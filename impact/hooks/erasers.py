"""Erase a person from orders, links and win-back lists."""

from datetime import datetime

from impact.extension_points import Person, eraser
from impact.models import Order, OrderReference, ProblemReference, WinBackEntry
from impact.references import ReferenceKind


@eraser("list_entries")
def erase_list_entries(person: Person, limit: int, now: datetime) -> int:
    """Delete the person's entries on win-back lists."""
    entries = WinBackEntry.objects.filter(customer__in=person.customers).order_by("pk")
    found = list(entries.values_list("pk", flat=True)[:limit])
    WinBackEntry.objects.filter(pk__in=found).delete()
    return len(found)


@eraser("orders")
def erase_from_orders(person: Person, limit: int, now: datetime) -> int:
    """Erase the person from the orders that refer to the person, and keep the amounts."""
    named = OrderReference.objects.filter(kind=ReferenceKind.USER, value__in=person.users)
    found = sorted(set(named.order_by("order").values_list("order", flat=True)[:limit]))
    Order.objects.filter(pk__in=found, customer__in=person.customers).update(customer="")
    named.filter(order__in=found).delete()
    return len(found)


@eraser("links")
def erase_links(person: Person, limit: int, now: datetime) -> int:
    """Delete the references that link errors of the last two days to later orders of the person."""
    links = ProblemReference.objects.filter(ref_kind=ReferenceKind.USER, value__in=person.users)
    found = list(links.values_list("pk", flat=True)[:limit])
    ProblemReference.objects.filter(pk__in=found).delete()
    return len(found)
