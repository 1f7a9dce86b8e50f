import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp
from reservations.models.catalog import TicketType
from reservations.models.holds import Reservation, Status


class WaitingEntryQuerySet(models.QuerySet["WaitingEntry"]):
    def waiting(self) -> "WaitingEntryQuerySet":
        """Return the entries that still wait for an offer, in order of arrival."""
        return self.filter(state=WaitingEntry.State.WAITING).order_by("pk")

    def offered(self, now: datetime) -> "WaitingEntryQuerySet":
        """Return the entries whose offer is valid at `now`."""
        return self.filter(
            state=WaitingEntry.State.OFFERED,
            reservation__status=Status.ACTIVE,
            reservation__expires_at__gt=now,
        ).order_by("pk")


class WaitingEntry(models.Model):
    """A customer's place on the waiting list of a sold-out ticket type. An offer is a reservation with a time limit."""

    class State(models.TextChoices):
        WAITING = "waiting"
        OFFERED = "offered"
        LEFT = "left"
        CLOSED = "closed"

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    app = models.ForeignKey(ClientApp, models.PROTECT, related_name="+")
    ticket_type = models.ForeignKey(TicketType, models.PROTECT, related_name="waiting")
    quantity = models.PositiveSmallIntegerField()
    customer = models.CharField(
        max_length=200, blank=True, help_text="This field is empty if the customer was erased."
    )
    order_id = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reservation = models.OneToOneField(
        Reservation, models.PROTECT, null=True, blank=True, related_name="waiting_entry"
    )
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Time when tickets were offered, the customer left, or the sale ended.",
    )

    objects = WaitingEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "waiting entries"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(quantity__gte=1), name="a_waiting_buyer_wants_tickets"
            ),
            models.UniqueConstraint(
                fields=["app", "ticket_type", "customer"],
                condition=Q(state="waiting"),
                name="a_customer_waits_once_per_ticket_type",
            ),
            models.CheckConstraint(
                condition=Q(state="offered", reservation__isnull=False)
                | (~Q(state="offered") & Q(reservation=None)),
                name="an_offer_is_a_reservation",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["ticket_type", "id"], condition=Q(state="waiting"), name="waiting_in_order"
            ),
            models.Index(fields=["app", "state"], name="waiting_by_app"),
            models.Index(
                fields=["customer"], condition=~Q(customer=""), name="waiting_by_customer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.ticket_type_id} for {self.customer}"

    def shown_status(self, now: datetime) -> str:
        """Return `waiting`, `left` or `closed`, or the state of the offer: `offered`, `accepted` or `missed`.

        An offer is `left` if the customer cancels it, and `closed` if its event is cancelled.
        """
        if self.reservation is None:
            return self.state
        if self.reservation.is_live(now):
            return "offered"
        if self.reservation.status == Status.CANCELLED:
            is_event_cancelled = hasattr(self.ticket_type.event, "cancellation")
            return "closed" if is_event_cancelled else "left"
        if self.reservation.status in (Status.ACTIVE, Status.EXPIRED):
            # Show "missed" as soon as the offer expires, although the customer can still pay until the tickets are
            # released.
            return "missed"
        return "accepted"
