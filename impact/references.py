"""References: the identifiers by which a problem and an order find each other. Pure."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from django.db import models


class ReferenceKind(models.TextChoices):
    ORDER = "order"
    PAYMENT = "payment"  # a payment's uuid or Stripe's id of its intent
    RESERVATION = "reservation"
    REQUEST = "request"
    USER = "user"
    ORGANIZATION = "organization"


# A person or an organization has many orders, so these kinds link only orders of about the same time.
BROAD_KINDS = frozenset({ReferenceKind.USER, ReferenceKind.ORGANIZATION})
MAX_LENGTH = 200


class Reference(NamedTuple):
    """One identifier."""

    kind: str
    value: str


@dataclasses.dataclass(frozen=True)
class References:
    """The identifiers that a problem is known to affect. An empty set means unknown, not none."""

    request_ids: frozenset[str] = frozenset()
    order_ids: frozenset[str] = frozenset()
    payment_ids: frozenset[str] = frozenset()  # payment uuids and Stripe intent ids
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
