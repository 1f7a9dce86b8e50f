import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from core.lib.formats import money
from payments.models.intents import Payment


class Refund(models.Model):
    """A refund requested by staff, created once per confirmed form however often the form is sent."""

    class State(models.TextChoices):
        ASKED = "asked", "Requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount = models.PositiveIntegerField()
    reason = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    stripe_id = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001
    error = models.CharField(max_length=300, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    asked_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

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
        """Return the idempotency key that Stripe gets for this refund."""
        return f"ops_refund_{self.uuid}"
