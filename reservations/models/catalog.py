from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce


class EventQuerySet(models.QuerySet["Event"]):
    def on_sale(self) -> "EventQuerySet":
        """Return the events that are switched on; each ticket type also has its own sale window."""
        return self.filter(is_on_sale=True)


class Event(models.Model):
    """An event that people buy tickets for: a concert, a match, a guided tour."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    is_on_sale = models.BooleanField(default=True)
    hold_minutes = models.PositiveSmallIntegerField(
        default=15, help_text="How many minutes a reservation holds its tickets before it expires."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(hold_minutes__gte=1, hold_minutes__lte=120),
                name="a_hold_lasts_1_to_120_minutes",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def hold(self) -> timedelta:
        """Return how long a reservation holds its tickets."""
        return timedelta(minutes=self.hold_minutes)


class TicketTypeQuerySet(models.QuerySet["TicketType"]):
    def on_sale(self, now: datetime | Combinable) -> "TicketTypeQuerySet":
        """Return the types that can be bought at `now`. This is the only definition of "on sale".

        `now` may be an expression, so that hand-written SQL can be built around the same rule.
        """
        return self.filter(
            Q(sale_starts_at=None) | Q(sale_starts_at__lte=now),
            Q(sale_ends_at=None) | Q(sale_ends_at__gt=now),
            event__is_on_sale=True,
        )

    def on_sale_and_upcoming(self, now: datetime) -> "TicketTypeQuerySet":
        """Return the types on sale whose event has not begun, which are the ones to watch for low stock."""
        return self.on_sale(now).filter(Q(event__starts_at=None) | Q(event__starts_at__gt=now))

    def available(self, now: datetime) -> dict[int, int]:
        """Return the tickets left by type id. Expired holds count as free, because the next buyer gets them."""
        live = Q(lines__reservation__status="active", lines__reservation__expires_at__gt=now)
        held = Coalesce(models.Sum("lines__quantity", filter=live), 0)
        left = self.annotate(left=F("capacity") - F("sold") - held).values_list("pk", "left")
        return {pk: max(0, left) for pk, left in left}

    def hold(self, pk: int, quantity: int) -> bool:
        """Hold tickets and return True if enough are left. One conditional statement, so concurrent calls are safe."""
        with_room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(with_room.update(held=F("held") + quantity))

    def sell_unheld(self, pk: int, quantity: int) -> bool:
        """Sell tickets that were not held, and return True if enough are left."""
        with_room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(with_room.update(sold=F("sold") + quantity))

    def sell_held(self, pk: int, quantity: int) -> None:
        """Turn held tickets into sold ones."""
        self.filter(pk=pk).update(held=F("held") - quantity, sold=F("sold") + quantity)

    def release_held(self, pk: int, quantity: int) -> None:
        """Make held tickets available again."""
        self.filter(pk=pk).update(held=F("held") - quantity)

    def release_sold(self, pk: int, quantity: int) -> None:
        """Make sold tickets available again."""
        self.filter(pk=pk).update(sold=F("sold") - quantity)


class TicketType(models.Model):
    """A kind of ticket for an event. `held` and `sold` change only together with the reservations they count."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="ticket_types")
    name = models.CharField(max_length=100)
    capacity = models.PositiveIntegerField()
    held = models.PositiveIntegerField(default=0, editable=False)
    sold = models.PositiveIntegerField(default=0, editable=False)
    price = models.PositiveIntegerField(
        default=0,
        help_text="Price of one ticket in the currency's smallest unit (2500 is 25.00 EUR).",
    )
    currency = models.CharField(max_length=3, default="EUR")
    sale_starts_at = models.DateTimeField(null=True, blank=True)
    sale_ends_at = models.DateTimeField(null=True, blank=True)
    per_customer_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Maximum number of tickets one customer can hold and own. Leave empty for no limit.",
    )
    low_inventory_threshold = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Alert when this many tickets or fewer are left. Leave empty for 10 % of the capacity.",
    )

    objects = TicketTypeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(capacity__gte=F("held") + F("sold")), name="never_oversold"
            ),
            models.UniqueConstraint(
                fields=["event", "name"], name="one_ticket_type_per_name_and_event"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.name}"

    @property
    def low_at(self) -> int:
        """Return the number of tickets left at or below which inventory is low."""
        if self.low_inventory_threshold is None:
            return self.capacity // 10
        return self.low_inventory_threshold
