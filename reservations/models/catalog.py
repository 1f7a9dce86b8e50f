from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce


class EventQuerySet(models.QuerySet["Event"]):
    def announced(self, now: datetime) -> "EventQuerySet":
        """Return the events with a ticket type that is on sale at `now` or will be later."""
        return self.filter(_has_sale(now))

    def announced_first(self, now: datetime) -> "EventQuerySet":
        """Sort events by their start, with events whose sale has not ended first, and those without a start last."""
        return self.order_by(_has_sale(now).desc(), F("starts_at").asc(nulls_last=True), "-pk")


def _has_sale(now: datetime) -> models.Exists:
    return models.Exists(TicketType.objects.not_over(now).filter(event=models.OuterRef("pk")))


class Event(models.Model):
    """An event for which people buy tickets, such as a concert, a match or a guided tour."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    is_on_sale = models.BooleanField(
        "sale is enabled",
        default=True,
        help_text="If this is off, no tickets for this event can be bought, even during the sale period.",
    )
    hold_minutes = models.PositiveSmallIntegerField(
        default=15,
        help_text="If the buyer does not pay within this time, the tickets are on sale again.",
    )
    extends_holds_in_outages = models.BooleanField(
        "extend holds during payment outages",
        default=False,
        db_default=False,
        help_text="Holds do not expire while the payment provider is unavailable.",
    )
    max_outage_minutes = models.PositiveSmallIntegerField(
        "longest extension",
        default=60,
        db_default=60,
        help_text="Outages can extend a hold by at most this time, counted from its original end.",
    )
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(hold_minutes__gte=1, hold_minutes__lte=120),
                name="a_hold_lasts_1_to_120_minutes",
            ),
            models.CheckConstraint(
                condition=Q(max_outage_minutes__gte=1, max_outage_minutes__lte=480),
                name="an_outage_extends_a_hold_by_1_to_480_minutes",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def hold(self) -> timedelta:
        """Return the initial hold period of this event's tickets."""
        return timedelta(minutes=self.hold_minutes)


class TicketTypeQuerySet(models.QuerySet["TicketType"]):
    def on_sale(self, now: datetime | Combinable) -> "TicketTypeQuerySet":
        """Return the types that are on sale at `now`, even if they are sold out.

        Use this method wherever code needs to know if a type is on sale. `now` may be a database expression, so that
        hand-written SQL can include the same condition.
        """
        return self.not_over(now).filter(Q(sale_starts_at=None) | Q(sale_starts_at__lte=now))

    def not_over(self, now: datetime | Combinable) -> "TicketTypeQuerySet":
        """Return the types whose sale has not ended. A sale without `sale_ends_at` ends when the event starts."""
        return self.filter(
            Q(sale_ends_at__gt=now)
            | Q(sale_ends_at=None) & (Q(event__starts_at=None) | Q(event__starts_at__gt=now)),
            event__is_on_sale=True,
            event__cancelled_at=None,
        )

    def available(self, now: datetime) -> dict[int, int]:
        """Return the number of tickets left by the id of the ticket type.

        Expired holds count as free, because the next buyer gets their tickets. A type with customers on its waiting
        list has 0 tickets left, because its free tickets are kept for these customers.
        """
        from reservations.models.holds import Line  # noqa: PLC0415  holds imports this module

        # Start from the few overdue holds, because a popular type has thousands of sold lines.
        overdue = (
            Line.objects.overdue(now)
            .filter(ticket_type=models.OuterRef("pk"))
            .order_by()
            .values("ticket_type")
            .values_list(models.Sum("quantity"))
        )
        left = self.annotate(
            left=F("capacity") - F("sold") - F("held") + Coalesce(models.Subquery(overdue), 0)
        )
        rows = left.values_list("pk", "left", "has_waiting_buyers")
        return {pk: 0 if is_awaited else max(0, left) for pk, left, is_awaited in rows}

    def hold(self, pk: int, quantity: int) -> bool:
        """Hold tickets and return True, or return False if too few are left.

        Also return False while customers are on the waiting list, because they come first. The method runs one
        conditional statement, so concurrent calls are safe.
        """
        return self.filter(has_waiting_buyers=False).hold_first(pk, quantity)

    def hold_first(self, pk: int, quantity: int) -> bool:
        """Hold tickets and return True, or return False if too few are left. Ignore the waiting list.

        This method is for customers with an offer from the waiting list or with a payment in processing, who have
        precedence over other customers.
        """
        with_room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(with_room.update(held=F("held") + quantity))

    def sell_unheld(self, pk: int, quantity: int) -> bool:
        """Sell tickets that were not held and return True, or return False if too few are left."""
        with_room = self.filter(pk=pk, capacity__gte=F("held") + F("sold") + quantity)
        return bool(with_room.update(sold=F("sold") + quantity))

    def sell_held(self, pk: int, quantity: int) -> None:
        """Turn held tickets into sold tickets. The caller has held this quantity."""
        self.filter(pk=pk).update(held=F("held") - quantity, sold=F("sold") + quantity)

    def release_held(self, pk: int, quantity: int) -> None:
        """Make held tickets available again."""
        self.filter(pk=pk).update(held=F("held") - quantity)

    def release_sold(self, pk: int, quantity: int) -> None:
        """Make sold tickets available again."""
        self.filter(pk=pk).update(sold=F("sold") - quantity)


class TicketType(models.Model):
    """A kind of ticket for an event.

    `held` and `sold` change only in the transaction that changes the reservations with these tickets.
    """

    event = models.ForeignKey(Event, models.PROTECT, related_name="ticket_types")
    name = models.CharField(max_length=100)
    capacity = models.PositiveIntegerField()
    held = models.PositiveIntegerField(default=0, editable=False)
    sold = models.PositiveIntegerField(default=0, editable=False)
    price = models.PositiveBigIntegerField(
        default=0,
        help_text="Price of one ticket in minor units, as in Stripe's API: 2500 is 25.00 EUR, 2500 JPY and 25 ISK.",
    )
    currency = models.CharField(max_length=3, default="EUR")
    sale_starts_at = models.DateTimeField(null=True, blank=True)
    sale_ends_at = models.DateTimeField(
        null=True, blank=True, help_text="Leave empty to end the sale when the event starts."
    )
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

    has_waiting_list = models.BooleanField(
        default=False,
        db_default=False,
        help_text="When this ticket type is sold out, apps can put customers on a waiting list.",
    )
    offer_minutes = models.PositiveSmallIntegerField(
        default=60,
        db_default=60,
        help_text="If the customer does not pay within this time, the tickets are offered to the next customer.",
    )
    has_waiting_buyers = models.BooleanField(default=False, db_default=False, editable=False)

    objects = TicketTypeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(offer_minutes__gte=5, offer_minutes__lte=1440),
                name="an_offer_lasts_5_minutes_to_a_day",
            ),
            models.CheckConstraint(
                condition=Q(capacity__gte=F("held") + F("sold")), name="never_oversold"
            ),
            models.UniqueConstraint(
                fields=["event", "name"], name="one_ticket_type_per_name_and_event"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.name}"

    def count_free(self) -> int:
        """Refresh the counters from the database, and return the number of tickets that are neither held nor sold."""
        self.refresh_from_db(fields=["capacity", "held", "sold"])
        return self.capacity - self.held - self.sold

    @property
    def low_at(self) -> int:
        """Return the low-inventory threshold, which is 10 % of the capacity by default."""
        if self.low_inventory_threshold is None:
            return self.capacity // 10
        return self.low_inventory_threshold
