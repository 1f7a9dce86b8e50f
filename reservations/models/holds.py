import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from core.clients.models import ClientApp
from payments.models import Payment, ProviderOutage
from reservations.models.catalog import TicketType

MAX_EXTENSIONS = 4
EXTENSION = timedelta(minutes=15)


class Status(models.TextChoices):
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUND_NEEDED = "refund_needed", "Refund needed"
    REFUNDED = "refunded"


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def active(self) -> "ReservationQuerySet":
        return self.filter(status=Status.ACTIVE)

    def created_since(self, since: datetime) -> "ReservationQuerySet":
        return self.filter(created_at__gte=since)

    def live(self, now: datetime) -> "ReservationQuerySet":
        """Return the active reservations that have not expired."""
        return self.active().filter(expires_at__gt=now)

    def overdue(self, now: datetime) -> "ReservationQuerySet":
        """Return the active reservations that have expired, but whose tickets have not been released."""
        return self.active().filter(expires_at__lte=now)

    def holding(self, ticket_type_ids: list[int]) -> "ReservationQuerySet":
        """Return the reservations with tickets of these types, in any status."""
        return self.filter(
            pk__in=Line.objects.filter(ticket_type__in=ticket_type_ids).values("reservation")
        )

    def processing(self) -> "ReservationQuerySet":
        """Return the active reservations that are held until their payment has been processed."""
        return self.active().filter(processing_payment__isnull=False)

    def move(self, pk: int, *, from_: list[str], to: str, **changes: object) -> bool:
        """Change the status and the fields in `changes` if the status is one of `from_`. Return True on success."""
        return bool(self.filter(pk=pk, status__in=from_).update(status=to, **changes))


class Reservation(models.Model):
    """A customer's reservation of tickets of one or more types, which are held and sold together."""

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    app = models.ForeignKey(ClientApp, models.PROTECT, related_name="+")
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        help_text="Keyed hash of the request that created the reservation.",
    )
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    customer = models.CharField(max_length=200, blank=True)
    order_id = models.CharField(max_length=100, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    extensions = models.PositiveSmallIntegerField(default=0)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the completion, cancellation, expiry or refund."
    )
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, blank=True, related_name="+")
    processing_payment = models.ForeignKey(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="A payment, such as a bank debit, for which the tickets are held until it is processed.",
    )
    paid_elsewhere = models.CharField(
        max_length=200,
        blank=True,
        help_text="Payment method, if the customer did not pay through the portal.",
    )

    objects = ReservationQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "idempotency_key"], name="one_reservation_per_key_and_app"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="reservation_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(extensions__lte=MAX_EXTENSIONS), name="extended_at_most_4_times"
            ),
            models.CheckConstraint(
                condition=Q(status=Status.ACTIVE, ended_at=None)
                | (~Q(status=Status.ACTIVE) & Q(ended_at__isnull=False)),
                name="an_active_reservation_has_not_ended",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"], condition=Q(status="active"), name="active_by_expiry"
            ),
            models.Index(fields=["status", "-ended_at"], name="reservations_by_status"),
            models.Index(fields=["created_at"], name="reservations_by_creation"),
            models.Index(fields=["status", "created_at"], name="reservations_by_status_and_age"),
            # Without conditions, because SQLite would use an index of only the rows with a value only for queries that
            # also exclude "".
            models.Index(fields=["customer"], name="reservations_by_customer"),
            models.Index(fields=["order_id"], name="reservations_by_order"),
            models.Index(fields=["request_id"], name="reservations_by_request"),
        ]

    def __str__(self) -> str:
        return f"reservation {self.uuid}"

    def is_live(self, now: datetime) -> bool:
        return self.status == Status.ACTIVE and self.expires_at > now

    def shown_status(self, now: datetime) -> str:
        """Return the status to show. An overdue hold is shown as expired even if its tickets are not released yet."""
        if self.status == Status.ACTIVE and self.expires_at <= now:
            return str(Status.EXPIRED)
        return self.status


# This is `Line.kept` as an expression for queries.
KEPT = F("quantity") - F("released")


class LineQuerySet(models.QuerySet["Line"]):
    def owned_by(self, customer: str, now: datetime) -> "LineQuerySet":
        """Return the customer's lines that count against a limit: sold tickets and unexpired holds."""
        return self.filter(reservation__customer=customer).filter(
            Q(reservation__status=Status.COMPLETED)
            | Q(reservation__status=Status.ACTIVE, reservation__expires_at__gt=now)
        )

    def overdue(self, now: datetime) -> "LineQuerySet":
        """Return the lines of holds that have expired, but whose tickets have not been released."""
        return self.filter(reservation__in=Reservation.objects.overdue(now))

    def seats(self) -> int:
        """Return the number of tickets that have not been released."""
        return int(self.aggregate(seats=models.Sum(KEPT, default=0))["seats"])


class Line(models.Model):
    """The tickets of one type in a reservation, at the price at the time of the reservation."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="lines")
    ticket_type = models.ForeignKey(TicketType, models.PROTECT, related_name="lines")
    quantity = models.PositiveIntegerField()
    released = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Number of sold tickets that were released after a refund.",
    )
    price = models.PositiveBigIntegerField(
        help_text="Price of one ticket in minor units, as in Stripe's API: 2500 is 25.00 EUR, 2500 JPY and 25 ISK."
    )
    currency = models.CharField(max_length=3)

    objects = LineQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(quantity__gte=1), name="a_line_has_tickets"),
            models.CheckConstraint(
                condition=Q(released__lte=F("quantity")), name="never_released_more_than_reserved"
            ),
            models.UniqueConstraint(
                fields=["reservation", "ticket_type"], name="one_line_per_ticket_type"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.ticket_type_id}"

    @property
    def kept(self) -> int:
        return self.quantity - self.released

    @property
    def amount(self) -> int:
        return self.quantity * self.price

    @property
    def kept_amount(self) -> int:
        """Return the price of the tickets that were not released after a refund."""
        return self.kept * self.price


class HoldExtension(models.Model):
    """One extension of a hold, made because the buyer could not pay during an outage of the payment provider."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="outage_extensions")
    outage = models.ForeignKey(ProviderOutage, models.PROTECT, related_name="+")
    at = models.DateTimeField()
    ended_before = models.DateTimeField(help_text="End of the hold before this extension.")
    ends_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("ended_before")), name="an_extension_lengthens_a_hold"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reservation_id} until {self.ends_at:%H:%M:%S}"


class Cleanup(models.Model):
    """One run of the clean-up of expired holds."""

    at = models.DateTimeField(db_index=True)
    reservation_count = models.PositiveIntegerField()
    seat_count = models.PositiveIntegerField()
    duration_ms = models.PositiveIntegerField()

    class Meta:
        verbose_name = "clean-up"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(seat_count__gte=F("reservation_count")),
                name="a_released_reservation_had_seats",
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.reservation_count}"
