"""Define orders, the problems that affected them, win-back lists and erasures.

`impact.services.catch_up` computes the orders and their links from payments, reservations, events and alerts.
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from impact.references import MAX_LENGTH, ReferenceKind
from impact.states import Stage


class Change(models.Model):
    """A range of a source's rows that were added or changed, but are not reflected in the orders yet.

    Triggers write such a row when a payment, reservation or alert changes, and the error store writes one for each
    batch of events. The row is written in the transaction that makes the change.
    """

    source = models.CharField(max_length=30)
    first = models.BigIntegerField()
    last = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.source} {self.first} to {self.last}"


class Order(models.Model):
    """An order, which consists of all payments and reservations with the same order id, reservation or payment."""

    key = models.CharField(max_length=120, unique=True)
    stage = models.CharField(max_length=10, choices=Stage)
    created_at = models.DateTimeField()
    until = models.DateTimeField(
        null=True,
        help_text="Time when an unfinished order is lost. The field is empty if the order has no time limit.",
    )
    settled_at = models.DateTimeField(null=True, help_text="Time when the order was paid or ended.")
    amount = models.PositiveBigIntegerField(help_text="Amount in the currency's smallest unit.")
    currency = models.CharField(max_length=3, blank=True)
    seats = models.PositiveIntegerField(default=0)
    customer = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["settled_at", "currency", "amount"],
                condition=Q(stage="paid"),
                name="paid_orders_by_time",
            ),
            models.Index(
                fields=["until"],
                condition=Q(stage__in=["open", "refund_due"]),
                name="unfinished_orders",
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(stage__in=Stage.values), name="order_stage_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(stage__in=["paid", "ended"]) | Q(settled_at__isnull=False),
                name="a_settled_order_says_when",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class FurtherAmount(models.Model):
    """The amount of an order in an additional currency. Most orders have only one currency."""

    pk = models.CompositePrimaryKey("order_id", "currency")
    order = models.ForeignKey(Order, models.CASCADE, related_name="further_amounts", db_index=False)
    currency = models.CharField(max_length=3)
    amount = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class OrderReference(models.Model):
    """An identifier of an order, such as a payment's id. Problems that name the identifier are linked to the order."""

    pk = models.CompositePrimaryKey("kind", "value", "order_id")
    kind = models.CharField(max_length=12, choices=ReferenceKind)
    value = models.CharField(max_length=MAX_LENGTH)
    order = models.ForeignKey(Order, models.CASCADE, related_name="references")

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class Touch(models.Model):
    """A link from a problem to an order. The problem named the order or an object that belongs to the order."""

    pk = models.CompositePrimaryKey("kind", "problem", "order_id")
    kind = models.CharField(max_length=10)
    problem = models.BigIntegerField()
    order = models.ForeignKey(Order, models.CASCADE, related_name="touches")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.problem}: {self.order_id}"


class ProblemReference(models.Model):
    """An identifier that a problem named recently, which is kept to link orders that begin after the problem."""

    pk = models.CompositePrimaryKey("ref_kind", "value", "kind", "problem", "hour")
    ref_kind = models.CharField(max_length=12, choices=ReferenceKind)
    value = models.CharField(max_length=MAX_LENGTH)
    kind = models.CharField(max_length=10)
    problem = models.BigIntegerField()
    hour = models.PositiveIntegerField(
        help_text="Hours since 1 January 1970 UTC if the reference is to a user or an organization; otherwise 0."
    )
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.problem} named {self.ref_kind} {self.value}"


class WinBackList(models.Model):
    """A list, created by staff, of the buyers whose orders were lost because of a problem."""

    title = models.CharField(max_length=300)
    kind = models.CharField(max_length=10)
    problem = models.BigIntegerField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["kind", "problem"], name="win_back_lists_by_problem")
        ]

    def __str__(self) -> str:
        return self.title


class WinBackEntry(models.Model):
    """The amount of a lost order in one currency. The row is deleted when the buyer is erased."""

    list = models.ForeignKey(WinBackList, models.CASCADE, related_name="entries")
    order_key = models.CharField(max_length=120)
    customer = models.CharField(max_length=200, blank=True, db_index=True)
    amount = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3, blank=True)
    seats = models.PositiveIntegerField()
    lost_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "win-back entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["list", "order_key", "currency"], name="one_entry_per_order_and_currency"
            )
        ]

    def __str__(self) -> str:
        return self.order_key


class Erasure(models.Model):
    """The erasure of a person from all records. When the erasure is finished, its row no longer identifies the person.

    The fingerprints are kept, so that the erasure can be repeated in a database that is restored from an older backup.
    """

    customers = models.TextField(
        blank=True,
        help_text="References to the person, as JSON. They are removed when the erasure is finished.",
    )
    fingerprints = models.JSONField(
        default=list,
        db_default=[],
        help_text="Keyed hashes of the references, which identify the person in a restored backup.",
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict, help_text="Number of changed records by kind.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(customers=""),
                name="a_finished_erasure_names_no_person",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["requested_at"], condition=Q(finished_at=None), name="unfinished_erasures"
            )
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk}"

    @property
    def summary(self) -> str:
        """Return the number of changed records by kind, such as "payments: 2, reservations: 1"."""
        parts = [
            f"{name.replace('_', ' ')}: {count:,}" for name, count in sorted(self.counts.items())
        ]
        return ", ".join(parts) or "none"
