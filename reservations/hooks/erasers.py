"""Erase a person from stored reservations and waiting lists."""

from datetime import datetime

from impact.extension_points import Person, eraser
from reservations.models import Reservation, WaitingEntry
from reservations.services import remove_from_waiting_lists


@eraser("reservations")
def erase_from_reservations(person: Person, limit: int, now: datetime) -> int:
    """Clear the customer and the request's fingerprint, which is computed from the customer. Keep the seats."""
    named = Reservation.objects.filter(customer__in=person.customers).order_by("pk")
    found = list(named.values_list("pk", flat=True)[:limit])
    Reservation.objects.filter(pk__in=found).update(customer="", fingerprint="")
    return len(found)


@eraser("waiting_entries")
def erase_from_waiting_lists(person: Person, limit: int, now: datetime) -> int:
    """End the person's waiting entries, and clear the customer in all entries of the person."""
    named = WaitingEntry.objects.filter(customer__in=person.customers).order_by("pk")
    found = list(named.values_list("pk", flat=True)[:limit])
    remove_from_waiting_lists(entry_ids=found, now=now)
    return len(found)
