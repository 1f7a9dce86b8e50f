from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from core.lib.formats import money
from payments.models import Payment
from reservations.models.catalog import Event
from reservations.models.holds import Reservation


class Cancellation(models.Model):
    """The cancellation of an event, which releases its tickets and refunds what was paid for them in the portal."""

    event = models.OneToOneField(Event, models.PROTECT, related_name="cancellation")
    reason = models.CharField(max_length=200)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"cancellation of {self.event}"


class CancellationItemQuerySet(models.QuerySet["CancellationItem"]):
    def unfinished(self) -> "CancellationItemQuerySet":
        return self.filter(outcome__in=[Outcome.PENDING, Outcome.REQUESTED])


class Outcome(models.TextChoices):
    """The state of a reservation during the cancellation of its event."""

    PENDING = "pending"
    REQUESTED = "requested", "Refund requested, no response from Stripe yet"
    RELEASED = "released", "Released, nothing to refund"
    REFUNDED = "refunded", "Released and refunded"
    PAID_ELSEWHERE = "paid_elsewhere", "Released; paid outside the portal, so refund it there"
    FAILED = "failed", "Refund failed"


class CancellationItem(models.Model):
    """The outcome of an event's cancellation for one reservation."""

    cancellation = models.ForeignKey(Cancellation, models.CASCADE, related_name="items")
    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="+")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, blank=True, related_name="+")
    outcome = models.CharField(max_length=20, choices=Outcome, default=Outcome.PENDING)
    amount = models.PositiveBigIntegerField(
        default=0,
        help_text="Amount that was refunded, or that must be refunded outside the portal.",
    )
    currency = models.CharField(max_length=3, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    attempt = models.PositiveSmallIntegerField(
        default=1, help_text="This number increases when staff retry a failed refund."
    )

    objects = CancellationItemQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["cancellation", "reservation"], name="one_outcome_per_reservation"
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["cancellation"],
                condition=Q(outcome__in=["pending", "requested"]),
                name="unfinished_cancellations",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()}: {self.reservation_id}"

    @property
    def formatted_amount(self) -> str:
        return money(self.amount, self.currency)
