from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q, Sum

from core.lib.formats import money
from payments.models.intents import Payment


class DisputeQuerySet(models.QuerySet["Dispute"]):
    def awaiting_evidence(self) -> "DisputeQuerySet":
        """Return the disputes for which Stripe awaits evidence, even if their deadline has passed."""
        return self.filter(status__in=Dispute.AWAITING_EVIDENCE)

    def open(self) -> "DisputeQuerySet":
        return self.exclude(status__in=Dispute.CLOSED)

    def with_funds_withdrawn(self) -> "DisputeQuerySet":
        """Return the disputes whose amount Stripe has withdrawn from the account and not returned."""
        return self.filter(status__in=Dispute.WITHDRAWN)

    def total(self) -> int:
        return int(self.aggregate(sum=Sum("amount", default=0))["sum"])


class Dispute(models.Model):
    """A buyer's complaint to the bank: an inquiry, or a dispute for which Stripe withdraws the money."""

    class Status(models.TextChoices):
        """The statuses of a dispute at Stripe, in the order in which a dispute can reach them."""

        WARNING_NEEDS_RESPONSE = "warning_needs_response", "Inquiry, needs a response"
        WARNING_UNDER_REVIEW = "warning_under_review", "Inquiry, under review"
        WARNING_CLOSED = "warning_closed", "Inquiry closed"
        NEEDS_RESPONSE = "needs_response", "Needs a response"
        UNDER_REVIEW = "under_review", "Under review"
        PREVENTED = "prevented", "Prevented"
        WON = "won", "Won"
        LOST = "lost", "Lost"

        @property
        def rank(self) -> int:
            return list(Dispute.Status).index(self)

    INQUIRY = (Status.WARNING_NEEDS_RESPONSE, Status.WARNING_UNDER_REVIEW, Status.WARNING_CLOSED)
    AWAITING_EVIDENCE = (Status.WARNING_NEEDS_RESPONSE, Status.NEEDS_RESPONSE)
    CLOSED = (Status.WARNING_CLOSED, Status.PREVENTED, Status.WON, Status.LOST)
    # Stripe withdraws the amount when a dispute is opened, and returns the amount if the dispute is won. Nothing is
    # withdrawn for an inquiry. See https://docs.stripe.com/disputes/how-disputes-work.
    WITHDRAWN = (Status.NEEDS_RESPONSE, Status.UNDER_REVIEW, Status.LOST)

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="disputes")
    stripe_id = models.CharField(max_length=100, unique=True)
    status = models.CharField(max_length=30, choices=Status)
    reason = models.CharField(max_length=100, blank=True)
    amount = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    opened_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Time when Stripe withdrew the money. This is later than the opening if an inquiry became a dispute.",
    )
    evidence_due_at = models.DateTimeField(
        null=True, blank=True, help_text="Evidence that arrives after this time is not considered."
    )
    reported_at = models.DateTimeField(
        help_text="Time, according to Stripe, of the report that set the status."
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = DisputeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    status__in=["warning_closed", "prevented", "won", "lost"],
                    closed_at__isnull=False,
                )
                | (
                    ~Q(status__in=["warning_closed", "prevented", "won", "lost"])
                    & Q(closed_at__isnull=True)
                ),
                name="a_closed_dispute_says_when",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["evidence_due_at"],
                condition=Q(status__in=["warning_needs_response", "needs_response"]),
                name="disputes_by_deadline",
            )
        ]

    def __str__(self) -> str:
        return f"dispute {self.stripe_id}"

    @property
    def formatted_amount(self) -> str:
        return money(self.amount, self.currency)

    @property
    def is_open(self) -> bool:
        return self.status not in self.CLOSED

    def needs_response(self, now: datetime) -> bool:
        """Return True if the shop can still send evidence."""
        in_time = self.evidence_due_at is None or self.evidence_due_at > now
        return self.status in self.AWAITING_EVIDENCE and in_time
