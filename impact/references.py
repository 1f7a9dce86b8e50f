"""Define references, the identifiers that link problems and orders. All functions are pure."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db import models


class ReferenceKind(models.TextChoices):
    ORDER = "order"
    PAYMENT = "payment"  # The value is a payment's uuid, or the id of its intent at Stripe.
    RESERVATION = "reservation"
    REQUEST = "request"
    USER = "user"
    ORGANIZATION = "organization"


# A person or an organization has many orders, so references of these kinds link only orders from
# about the same time.
BROAD_KINDS = frozenset({ReferenceKind.USER, ReferenceKind.ORGANIZATION})
# A reference of one of these kinds belongs to a single order.
PRECISE_KINDS = frozenset({ReferenceKind.ORDER, ReferenceKind.PAYMENT, ReferenceKind.RESERVATION})
MAX_LENGTH = 200


class Reference(NamedTuple):
    """An identifier with its kind, such as the id of a payment."""

    kind: str
    value: str


def narrow(references: Iterable[Reference]) -> list[Reference]:
    """Return the references that link one event or alert to its orders.

    If the event or alert names an order, payment or reservation, its user and organization link no further orders,
    because a buyer whose payment failed may have other orders on the same day that succeeded.
    """
    found = list(references)
    if any(reference.kind in PRECISE_KINDS for reference in found):
        return [reference for reference in found if reference.kind not in BROAD_KINDS]
    return found


@dataclasses.dataclass(frozen=True)
class References:
    """The identifiers of the orders, users and other objects that a problem is known to affect.

    An empty set means that no identifiers of this kind are known.
    """

    request_ids: frozenset[str] = frozenset()
    order_ids: frozenset[str] = frozenset()
    payment_ids: frozenset[str] = frozenset()  # Uuids of payments, and ids of intents at Stripe.
    reservation_ids: frozenset[str] = frozenset()
    user_ids: frozenset[str] = frozenset()
    organization_ids: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Reference]:
        for name, kind in _KINDS.items():
            for value in getattr(self, name):
                if value:
                    yield Reference(kind.value, value[:MAX_LENGTH])


_KINDS = {
    "request_ids": ReferenceKind.REQUEST,
    "order_ids": ReferenceKind.ORDER,
    "payment_ids": ReferenceKind.PAYMENT,
    "reservation_ids": ReferenceKind.RESERVATION,
    "user_ids": ReferenceKind.USER,
    "organization_ids": ReferenceKind.ORGANIZATION,
}
