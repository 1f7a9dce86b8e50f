from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from payments.models.intents import Payment


class MismatchQuerySet(models.QuerySet["Mismatch"]):
    def open(self) -> "MismatchQuerySet":
        return self.filter(settled_at=None)


class Mismatch(models.Model):
    """A difference between the portal and Stripe that reconciliation or an event has revealed."""

    class Kind(models.TextChoices):
        MISSING = "missing", "Paid at Stripe, unknown to the portal"
        AMOUNT = "amount", "Amount or currency differs"
        TWO_CHARGES = "two_charges", "Two paid intents for one reservation"
        BEHIND = "behind", "Status was out of date"
        NOT_AT_STRIPE = "not_at_stripe", "Unknown at Stripe"
        REFUND_FAILED = "refund_failed", "A refund failed"

    kind = models.CharField(max_length=20, choices=Kind)
    intent_id = models.CharField(max_length=100)
    payment = models.ForeignKey(
        Payment, models.SET_NULL, null=True, blank=True, related_name="mismatches"
    )
    detail = models.CharField(max_length=300)
    expected_refunded = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="A failed refund is resolved when this amount has been refunded, in the currency's smallest unit.",
    )
    found_at = models.DateTimeField()
    healed = models.BooleanField(
        default=False, help_text="If set, the reconciliation fixed the mismatch automatically."
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    settlement = models.CharField(max_length=200, blank=True)

    objects = MismatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "mismatches"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["intent_id", "kind"],
                condition=Q(settled_at=None),
                name="one_open_mismatch_per_intent_and_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.intent_id}"


class ReconciliationRunQuerySet(models.QuerySet["ReconciliationRun"]):
    def unfinished(self, since: datetime) -> "ReconciliationRunQuerySet":
        """Return the unfinished runs that started since `since`, with full runs last."""
        return self.filter(finished_at=None, started_at__gte=since).order_by(
            "is_full", "-started_at"
        )

    def claim(self, pk: int, *, now: datetime, until: datetime) -> bool:
        """Lease the run until `until`. Return False if the run is finished or another worker has leased it."""
        unfinished = self.filter(pk=pk, finished_at=None)
        free = unfinished.filter(Q(locked_until=None) | Q(locked_until__lte=now))
        return bool(free.update(locked_until=until))


class ReconciliationRun(models.Model):
    """A comparison with Stripe that can be continued after an interruption.

    A full run compares the objects of the last 30 days. Other runs compare the objects that were created since one hour
    before the start of the last finished run, but at most those of 30 days.
    """

    class Stage(models.TextChoices):
        """The kinds of objects that a run compares, in the order of comparison."""

        EVENTS = "events"
        INTENTS = "intents"
        REFUNDS = "refunds"
        DISPUTES = "disputes"
        UNLISTED = "unlisted", "Payments that are in no list"
        OPEN_REVERSALS = "open_reversals", "Pending refunds and open disputes"
        MISMATCHES = "mismatches", "Open mismatches"

    started_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True)
    since = models.DateTimeField()
    is_full = models.BooleanField(default=False)
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.EVENTS)
    bookmark = models.CharField(
        max_length=100, blank=True, help_text="Last object that was compared in the current stage."
    )
    locked_until = models.DateTimeField(null=True, blank=True)
    event_count = models.PositiveIntegerField(default=0)
    inserted_count = models.PositiveIntegerField(default=0)
    intent_count = models.PositiveIntegerField(default=0)
    healed_count = models.PositiveIntegerField(default=0)
    mismatch_count = models.PositiveIntegerField(default=0)
    late_count = models.PositiveIntegerField(
        default=0,
        help_text="Number of missed events and changes that were more than 15 minutes old.",
    )

    objects = ReconciliationRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"reconciliation at {self.started_at:%Y-%m-%d %H:%M}"
