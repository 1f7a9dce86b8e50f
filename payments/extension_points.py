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
    """Items of one kind that a payment paid for, such as tickets of one type.

    When staff refund the payment, they can choose how many items to release. The app that registered the function then
    receives `payments.signals.refund_made`, and releases the items in the refund's `released_items`.
    """

    id: str  # Serves as a key in `Refund.released_items`.
    label: str  # An example is "Standing, Summer Night".
    count: int  # Counts the items that the buyer still has.
    price: int  # The price of one item is in minor units, as in Stripe's API.

    def __str__(self) -> str:
        return f"{self.count} x {self.label}"


PaidItems = Callable[["Payment"], Iterable[PaidItem]]
sources: Registry[PaidItems] = Registry("paid_items")


def paid_items(name: str) -> Callable[[PaidItems], PaidItems]:
    """Register a function that returns the items of a payment that the buyer still has."""
    return sources.decorator(name, lambda source: source)


def find_paid_items(payment: "Payment") -> list[PaidItem]:
    """Return the items of the payment that the buyer still has, as reported by all registered functions."""
    return [item for source in sources for item in source(payment)]


# --- payables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Payable:
    """An object that can be paid, such as a reservation, with its price."""

    amount: int
    currency: str
    status: str  # The client receives the status if the object cannot be paid.
    is_open: bool  # True if the object can be paid now.
    is_completed: bool  # True if the object is paid, although a balance or a fee may still be due.


PayableSource = Callable[[uuid.UUID, datetime], Payable | None]

payables: Registry[PayableSource] = Registry("payables")


def payable_source(name: str) -> Callable[[PayableSource], PayableSource]:
    """Register a function that finds the object named by a payment's `reservation_id`.

    The function returns None for an unknown reference.
    """
    return payables.decorator(name, lambda source: source)


def find_payable(reference: uuid.UUID, *, now: datetime) -> Payable | None:
    """Return the object with this reference, or None if no source has such an object."""
    found = (source(reference, now) for source in payables)
    return next((payable for payable in found if payable is not None), None)
