"""The registry of impact sources, which report the payments and seats that a problem affects.

Apps declare them in a module named `impact_sources`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from core.lib.registry import Registry


@dataclass(frozen=True)
class References:
    """The identifiers that a problem is known to affect. An empty set means unknown, not none."""

    request_ids: frozenset[str] = frozenset()
    order_ids: frozenset[str] = frozenset()
    payment_ids: frozenset[str] = frozenset()  # payment uuids and Stripe intent ids
    reservation_ids: frozenset[str] = frozenset()
    user_ids: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Touched:
    """One payment or reservation that a problem affects."""

    kind: str  # "payment" or "reservation"
    reference: str
    state: str
    amount: int | None = None  # integer minor units
    currency: str = ""
    seats: int = 0
    url: str = ""  # its page in the admin
    at_risk: bool = False  # unpaid, stuck, or paid without a seat


@dataclass(frozen=True)
class Impact:
    touched: tuple[Touched, ...] = ()
    amount_at_risk: dict[str, int] = field(default_factory=dict)  # currency -> minor units
    seats: int = 0


ImpactSource = Callable[[References], Iterable[Touched]]
registry: Registry[ImpactSource] = Registry("impact_sources")


def impact_source(name: str) -> Callable[[ImpactSource], ImpactSource]:
    """Register a function that returns the payments and reservations affected by given references."""

    def register(source: ImpactSource) -> ImpactSource:
        registry.add(name, source)
        return source

    return register


def impact_of(references: References) -> Impact:
    """Return everything that the references affect, with the sum of amounts at risk per currency."""
    touched = tuple(item for source in registry for item in source(references))
    at_risk: dict[str, int] = {}
    for item in touched:
        if item.at_risk and item.amount:
            at_risk[item.currency] = at_risk.get(item.currency, 0) + item.amount
    return Impact(touched, at_risk, sum(item.seats for item in touched))
