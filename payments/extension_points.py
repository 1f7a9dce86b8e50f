"""Define the hooks of `payments`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| paid_items | `@paid_items("reservations")` | `(Payment) -> Iterable[PaidItem]` |
| payables | `@payable_source("reservations")` | `(reference, now) -> Payable or None` |

docs/howto/ describes how to add a source of payables.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from core.lib.registry import Registry

if TYPE_CHECKING:
    from payments.models import Payment


# --- paid items --------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaidItem:
    """A kind of item that a payment paid for, such as tickets of one type, which a refund can release.

    The app that registered the function receives `payments.signals.refund_made`, and releases the items that the
    refund's `released_items` contains.
    """

    id: str  # `Refund.released_items` uses this id as a key.
    label: str  # An example is "Standing, Summer Night".
    count: int  # This is the number of items that the buyer still has.
    price: int  # This is the price of one item in the smallest unit of the payment's currency.

    def __str__(self) -> str:
        return f"{self.count} x {self.label}"


PaidItems = Callable[["Payment"], Iterable[PaidItem]]
sources: Registry[PaidItems] = Registry("paid_items")


def paid_items(name: str) -> Callable[[PaidItems], PaidItems]:
    """Register a function that returns the items that a payment paid for and the buyer still has."""
    return sources.decorator(name, lambda source: source)


def find_paid_items(payment: "Payment") -> list[PaidItem]:
    """Call all registered functions, and return the items that the payment paid for and the buyer still has."""
    return [item for source in sources for item in source(payment)]


# --- payables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Payable:
    """An object that a payment can be for, such as a reservation, with its price."""

    amount: int
    currency: str
    status: str  # The client receives this status if the object cannot be paid.
    is_open: bool  # This is True if the object can be paid now.
    is_completed: bool  # This is True if the object is paid. A balance or a fee may still be due.


PayableSource = Callable[[uuid.UUID, datetime], Payable | None]

payables: Registry[PayableSource] = Registry("payables")


def payable_source(name: str) -> Callable[[PayableSource], PayableSource]:
    """Register a function that returns the object of a payment's `reservation_id`, or None for an unknown reference."""
    return payables.decorator(name, lambda source: source)


def find_payable(reference: uuid.UUID, *, now: datetime) -> Payable | None:
    """Return the object with this reference, or None if no source has such an object."""
    found = (source(reference, now) for source in payables)
    return next((payable for payable in found if payable is not None), None)
