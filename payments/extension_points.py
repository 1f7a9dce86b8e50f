"""The hook of payments: what other apps add to it, in `<app>/hooks/paid_items.py`.

| kind | decorator | the function |
| --- | --- | --- |
| paid_items | `@paid_items("reservations")` | `(Payment) -> Iterable[PaidItem]` |

How to add one: docs/howto/.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.lib.registry import Registry

if TYPE_CHECKING:
    from payments.models import Payment


@dataclass(frozen=True)
class PaidItem:
    """A kind of thing that a payment paid for, such as tickets of one type, which a refund can release.

    The app that names it receives `payments.signals.refund_made` and releases what the refund's `released_items` says.
    """

    id: str  # the key in `Refund.released_items`
    label: str  # "Standing, Summer Night"
    count: int  # number that the buyer still has
    price: int  # of one, in the smallest unit of the payment's currency

    def __str__(self) -> str:
        return f"{self.count} x {self.label}"


PaidItems = Callable[["Payment"], Iterable[PaidItem]]
sources: Registry[PaidItems] = Registry("paid_items")


def paid_items(name: str) -> Callable[[PaidItems], PaidItems]:
    """Register a function that returns what a payment paid for and the buyer still has."""
    return sources.decorator(name, lambda source: source)


def find_paid_items(payment: "Payment") -> list[PaidItem]:
    """Return what the payment paid for and the buyer still has, from all apps."""
    return [item for source in sources for item in source(payment)]
