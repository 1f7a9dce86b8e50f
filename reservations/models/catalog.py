from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce


class EventQuerySet(models.QuerySet["Event"]):
    def on_sale(self) -> "EventQuerySet":
        return self.filter(is_on_sale=True)


class Event(models.Model):
    """Something people buy tickets for: a concert, a match, a guided tour."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    is_on_sale = models.BooleanField(default=True)
    hold_minutes = models.PositiveSmallIntegerField(
        default=15, help_text="How long a reservation holds its tickets before it expires."
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
        """Return the types on sale whose event has not begun: those worth watching for low stock."""
        return self.on_sale(now).filter(Q(event__starts_at=None) | Q(event__starts_at__gt=now))

    def available(self, now: datetime) -> dict[int, int]:
        """Tickets left by type id. Expired holds count as free, because the next buyer gets them."""
        live = Q(lines__reservation__status="active", lines__reservation__expires_at__gt=now)
        held = Coalesce(models.Sum("lines__quantity", filter=live), 0)
        left = self.annotate(left=F("capacity") - F("sold") - held).values_list("pk", "left")
        return {pk: max(0, left) for pk, left in left}

    def hold(self, pk: int, quantity: int) -> bool:
        """Hold `quantity` more if they are there. One conditional statement: right under any concurrency."""
        room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(room.update(held=F("held") + quantity))

    def sell_unheld(self, pk: int, quantity: int) -> bool:
        """Sell `quantity` that were not held, if they are there."""
        room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(room.update(sold=F("sold") + quantity))

    def sell_held(self, pk: int, quantity: int) -> None:
        self.filter(pk=pk).update(held=F("held") - quantity, sold=F("sold") + quantity)

    def release_held(self, pk: int, quantity: int) -> None:
        self.filter(pk=pk).update(held=F("held") - quantity)

    def release_sold(self, pk: int, quantity: int) -> None:
        self.filter(pk=pk).update(sold=F("sold") - quantity)


class TicketType(models.Model):
    """One kind of ticket of an event. `held` and `sold` change only together with the reservations they count."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="ticket_types")
    name = models.CharField(max_length=100)
    capacity = models.PositiveIntegerField()
    held = models.PositiveIntegerField(default=0, editable=False)
    sold = models.PositiveIntegerField(default=0, editable=False)
    price = models.PositiveIntegerField(
        default=0, help_text="Each, in the currency's smallest unit (2500 is 25.00 EUR)."
    )
    currency = models.CharField(max_length=3, default="EUR")
    sale_starts_at = models.DateTimeField(null=True, blank=True)
    sale_ends_at = models.DateTimeField(null=True, blank=True)
    per_customer_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most tickets one customer may hold and own. Empty: none."
    )
    low_inventory_threshold = models.PositiveIntegerField(
        null=True, blank=True, help_text="Alert when so many are left. Empty: 10 % of capacity."
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
        """So many left, or fewer, are low inventory."""
        if self.low_inventory_threshold is None:
            return self.capacity // 10
        return self.low_inventory_threshold
