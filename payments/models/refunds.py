import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum

from core.lib.formats import money
from payments.models.intents import Payment


class RefundQuerySet(models.QuerySet["Refund"]):
    def unanswered(self) -> "RefundQuerySet":
        """Return the refunds that the portal has requested and to which Stripe has not responded."""
        return self.filter(state=Refund.State.ASKED)

    def effective(self) -> "RefundQuerySet":
        """Return the refunds whose money has left the account.

        Stripe deducts the money of a pending refund immediately.
        """
        return self.filter(state__in=[Refund.State.PENDING, Refund.State.SUCCEEDED])

    def total(self) -> int:
        return int(self.aggregate(sum=Sum("amount", default=0))["sum"])


class Refund(models.Model):
    """A refund of a payment, which staff request with a form in the portal or make at Stripe."""

    class State(models.TextChoices):
        """The states of a refund, in the order in which a refund passes through them.

        A refund never returns to an earlier state.
        """

        ASKED = "asked", "Requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

        @property
        def rank(self) -> int:
            return list(Refund.State).index(self)

    class Seats(models.TextChoices):
        """The decision of staff about the tickets that the refunded payment paid for."""

        UNDECIDED = "", "Not decided"
        RELEASE = "release", "Release the seats"
        KEEP = "keep", "Keep the seats booked"

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    stripe_id = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001
    error = models.CharField(max_length=300, blank=True)
    seats = models.CharField(
        max_length=10,
        choices=Seats,
        blank=True,
        help_text="Decision about the tickets that the payment paid for.",
    )
    released_items = models.JSONField(
        default=dict,
        blank=True,
        help_text="Number of tickets to release from each line. Leave empty to release all tickets.",
    )
    is_counted = models.BooleanField(
        default=False, help_text="If set, the refund is included in the payment's refunded amount."
    )
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    asked_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gte=1), name="a_refund_has_an_amount")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["asked_at"],
                condition=Q(state__in=["asked", "pending"]),
                name="open_refunds",
            )
        ]

    def __str__(self) -> str:
        return f"refund {self.uuid}"

    @property
    def formatted_amount(self) -> str:
        return money(self.amount, self.payment.currency)

    @property
    def stripe_idempotency_key(self) -> str:
        """Return the idempotency key that is sent to Stripe for this refund."""
        return f"ops_refund_{self.uuid}"
