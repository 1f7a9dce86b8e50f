from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from payments.models import Payment
from reservations.models.holds import Reservation


class DiscrepancyQuerySet(models.QuerySet["Discrepancy"]):
    def open(self) -> "DiscrepancyQuerySet":
        return self.filter(settled_at=None)


class Discrepancy(models.Model):
    """A payment that does not match its seats.

    The discrepancy stays in the staff's inbox until staff resolve it or its cause disappears, for example by a refund.
    """

    class Kind(models.TextChoices):
        SOLD_OUT = "sold_out", "Paid, but the seats are gone"
        SECOND_PAYMENT = "second_payment", "Paid twice"
        UNKNOWN = "unknown_reservation", "Paid for an unknown reservation"
        FAILED = "completion_failed", "Paid, but completing the reservation failed"
        AMOUNT = "amount_differs", "Paid amount differs from the price"
        PARTLY_PAID = "partly_paid", "Partly paid, and the hold has ended"
        SEAT_WITHOUT_MONEY = "seat_without_money", "Refunded, but the seats are still booked"
        DISPUTE_LOST = "dispute_lost", "Lost to a dispute, but the seats are still booked"

    kind = models.CharField(max_length=30, choices=Kind)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="+")
    reservation = models.ForeignKey(
        Reservation, models.PROTECT, null=True, blank=True, related_name="discrepancies"
    )
    detail = models.CharField(max_length=500, blank=True)
    opened_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    settlement = models.CharField(max_length=200, blank=True)

    objects = DiscrepancyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "discrepancies"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["payment", "kind"],
                condition=Q(settled_at=None),
                name="one_open_discrepancy_per_payment_and_kind",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["opened_at"], condition=Q(settled_at=None), name="open_discrepancies"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: payment {self.payment_id}"

    @property
    def keeps_seats(self) -> bool:
        """Return True if the money was returned but the seats are booked, so that staff must decide about the seats."""
        return self.kind in (self.Kind.SEAT_WITHOUT_MONEY, self.Kind.DISPUTE_LOST)

    @property
    def needs_refund(self) -> bool:
        return self.kind in (self.Kind.SOLD_OUT, self.Kind.SECOND_PAYMENT, self.Kind.UNKNOWN)

    @property
    def can_be_accepted(self) -> bool:
        """Return True if staff can give the buyer the seats for the amount that was received."""
        return (
            self.kind in (self.Kind.AMOUNT, self.Kind.PARTLY_PAID)
            and self.reservation is not None
            and not self.reservation.payment_id
            and not self.reservation.paid_elsewhere
        )
