from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from payments.models.intents import Payment


class MismatchQuerySet(models.QuerySet["Mismatch"]):
    def open(self) -> "MismatchQuerySet":
        return self.filter(settled_at=None)


class Mismatch(models.Model):
    """A difference between Stripe and the portal, found by the reconciliation or by an event."""

    class Kind(models.TextChoices):
        MISSING = "missing", "Paid at Stripe, unknown here"
        AMOUNT = "amount", "Amount or currency differs"
        TWO_CHARGES = "two_charges", "Two paid intents for one reservation"
        BEHIND = "behind", "Status was out of date"
        NOT_AT_STRIPE = "not_at_stripe", "Unknown at Stripe"

    kind = models.CharField(max_length=20, choices=Kind)
    intent_id = models.CharField(max_length=100)
    payment = models.ForeignKey(
        Payment, models.SET_NULL, null=True, blank=True, related_name="mismatches"
    )
    detail = models.CharField(max_length=300)
    found_at = models.DateTimeField()
    healed = models.BooleanField(
        default=False, help_text="Fixed automatically by the reconciliation."
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


class ReconciliationRun(models.Model):
    """One comparison with Stripe. The next one starts where the latest finished one did."""

    started_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True)
    since = models.DateTimeField()
    is_full = models.BooleanField(default=False)
    event_count = models.PositiveIntegerField(default=0)
    inserted_count = models.PositiveIntegerField(default=0)
    intent_count = models.PositiveIntegerField(default=0)
    healed_count = models.PositiveIntegerField(default=0)
    mismatch_count = models.PositiveIntegerField(default=0)
    late_count = models.PositiveIntegerField(
        default=0, help_text="Events older than 15 minutes that never arrived."
    )

    def __str__(self) -> str:
        return f"reconciliation at {self.started_at:%Y-%m-%d %H:%M}"
