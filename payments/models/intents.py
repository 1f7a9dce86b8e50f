import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from core.clients.models import ClientApp
from core.lib import lease_owner, sealed
from core.lib.formats import money
from payments.splits import Purpose, ticket_share

# Never send an unfinished payment again after this time. Stripe removes idempotency keys after 24 h
# (https://docs.stripe.com/api/idempotent_requests), so a second request could charge the buyer a second time.
NEVER_RESEND_AFTER = timedelta(hours=23)
STUCK_AFTER = timedelta(minutes=5)


class PaymentStatus(models.TextChoices):
    """The statuses of an intent at Stripe, and three more for payments without an intent."""

    ASKED = "asked", "Pending"
    REFUSED = "refused", "Refused by Stripe"
    ABANDONED = "abandoned", "Abandoned (not found at Stripe)"
    REQUIRES_PAYMENT_METHOD = "requires_payment_method", "Requires payment method"
    REQUIRES_CONFIRMATION = "requires_confirmation", "Requires confirmation"
    REQUIRES_ACTION = "requires_action", "Requires action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture", "Requires capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class Reversal(models.TextChoices):
    """The reversals of a successful payment, which pages show instead of the payment's status."""

    PARTIALLY_REFUNDED = "partially_refunded", "Partially refunded"
    REFUNDED = "refunded", "Refunded"
    DISPUTED = "disputed", "Disputed"


class PaymentQuerySet(models.QuerySet["Payment"]):
    def unfinished(self) -> "PaymentQuerySet":
        return self.filter(state=Payment.State.STARTED)

    def with_expired_lease(self, now: datetime) -> "PaymentQuerySet":
        """Return the unfinished payments whose lease has expired, so that a process can take them over."""
        return self.unfinished().filter(locked_until__lte=now)

    def release_dead_leases(self, now: datetime) -> int:
        """End the leases of killed processes of this machine, and return the number of ended leases."""
        live = self.unfinished().filter(locked_until__gt=now).values_list("pk", "owner")
        dead = [(pk, owner) for pk, owner in live if lease_owner.is_dead(owner)]
        return sum(
            self.unfinished().filter(pk=pk, owner=owner).update(locked_until=now)
            for pk, owner in dead
        )

    def stuck(self, now: datetime) -> "PaymentQuerySet":
        return self.unfinished().filter(created_at__lte=now - STUCK_AFTER)

    def succeeded(self) -> "PaymentQuerySet":
        return self.filter(status=PaymentStatus.SUCCEEDED)

    def refunded(self) -> "PaymentQuerySet":
        """Return the payments that were refunded in full."""
        return self.succeeded().filter(
            amount_refunded__gt=0, amount_refunded__gte=F("amount_received")
        )

    def partially_refunded(self) -> "PaymentQuerySet":
        return self.succeeded().filter(
            amount_refunded__gt=0, amount_refunded__lt=F("amount_received")
        )

    def disputed(self) -> "PaymentQuerySet":
        """Return the payments from which Stripe has withdrawn money for a dispute."""
        return self.filter(amount_disputed__gt=0)

    def claim(self, pk: int, *, owner: str, now: datetime, until: datetime) -> bool:
        """Lease to `owner` an unfinished payment whose lease has expired. Return True on success.

        The attempt is counted in `tries`.
        """
        return bool(
            self.with_expired_lease(now)
            .filter(pk=pk)
            .update(owner=owner, locked_until=until, tries=F("tries") + 1)
        )


class Payment(models.Model):
    """An app's request to create a payment intent, and its outcome."""

    class State(models.TextChoices):
        STARTED = "started"
        FINISHED = "finished"

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    app = models.ForeignKey(ClientApp, models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    key = models.CharField(  # noqa: DJ001  NULL: the unique constraint ignores removed keys
        "idempotency key",
        max_length=255,
        null=True,
        help_text="The key is removed when it expires.",
    )
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        help_text="Keyed hash of the request. It is removed together with the idempotency key.",
    )

    state = models.CharField(max_length=10, choices=State, default=State.STARTED)
    owner = models.CharField(max_length=lease_owner.MAX_LENGTH, blank=True)
    locked_until = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=1)
    attempt = models.PositiveSmallIntegerField(
        default=1,
        help_text="This number is part of the idempotency key for Stripe. It increases only if Stripe has no intent for"
        " the key.",
    )

    amount = models.PositiveBigIntegerField(
        help_text="Amount in minor units, as in Stripe's API: 2500 is 25.00 EUR, 2500 JPY and 25 ISK."
    )
    currency = models.CharField(max_length=3)
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.FULL)
    fee = models.PositiveBigIntegerField(
        default=0, help_text="The share of the amount that does not pay for the reservation."
    )
    discount = models.PositiveBigIntegerField(
        default=0, help_text="Amount that the app subtracted from the reservation's price."
    )
    split_reason = models.CharField(
        max_length=200,
        blank=True,
        help_text="Reason why the amount differs from the reservation's price.",
    )
    order_id = models.CharField(max_length=100, blank=True)
    reservation_id = models.CharField(max_length=36, blank=True)
    customer = models.CharField(max_length=200, blank=True)
    organization = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Organization that the metadata of the request names.",
    )
    request_id = models.CharField(max_length=128, blank=True)
    request_body = models.TextField(
        blank=True,
        help_text="Description and metadata, encrypted. They are kept only until the payment is finished.",
    )

    search_bookmark = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="Id of the last intent that an unfinished search of Stripe's list has read.",
    )

    intent_id = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001
    status = models.CharField(max_length=30, choices=PaymentStatus, default=PaymentStatus.ASKED)
    status_at = models.DateTimeField(
        null=True, help_text="Time, according to Stripe, of the report that set the status."
    )
    debit_failed_at = models.DateTimeField(
        null=True, help_text="Time when a bank debit failed after it had been processing."
    )
    amount_received = models.PositiveBigIntegerField(default=0)
    amount_refunded = models.PositiveBigIntegerField(default=0)
    amount_disputed = models.PositiveBigIntegerField(
        default=0, help_text="Amount that Stripe has withdrawn for disputes and not returned."
    )
    compared_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Start of the last comparison that found this payment at Stripe.",
    )
    error = models.CharField(max_length=300, blank=True)

    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="Time when the idempotency key expires.")

    replay_count = models.PositiveIntegerField(
        default=0,
        help_text="Number of repeated requests that were answered with the stored response.",
    )
    conflict_count = models.PositiveIntegerField(
        default=0,
        help_text="Number of repeated requests that were rejected because the first request was still running.",
    )

    objects = PaymentQuerySet.as_manager()

    class Meta:
        db_table = "payment_intents_log"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "livemode", "key"], name="one_payment_per_key_and_app"
            ),
            models.CheckConstraint(condition=Q(amount__gte=1), name="a_payment_has_an_amount"),
            models.CheckConstraint(
                condition=Q(fee__lte=F("amount")), name="a_fee_is_part_of_the_amount"
            ),
            models.CheckConstraint(
                condition=Q(amount_refunded__lte=F("amount_received")),
                name="never_refunded_more_than_received",
            ),
            models.CheckConstraint(
                condition=Q(state="started") | Q(finished_at__isnull=False),
                name="a_finished_payment_says_when",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "created_at"], name="payments_by_state_and_age"),
            models.Index(
                fields=["locked_until"], condition=Q(state="started"), name="unfinished_payments"
            ),
            models.Index(fields=["-created_at"], name="payments_newest_first"),
            models.Index(
                fields=["expires_at"], condition=Q(key__isnull=False), name="payments_with_a_key"
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(compared_at=None, intent_id__isnull=False),
                name="payments_not_compared",
            ),
            models.Index(
                fields=["debit_failed_at"],
                condition=Q(debit_failed_at__isnull=False),
                name="payments_with_a_failed_debit",
            ),
            # Without conditions, because SQLite would use an index of only the rows with a value only for queries that
            # also exclude "".
            models.Index(fields=["order_id"], name="payments_by_order"),
            models.Index(fields=["reservation_id"], name="payments_by_reservation"),
            models.Index(fields=["customer"], name="payments_by_customer"),
            models.Index(fields=["request_id"], name="payments_by_request"),
        ]

    def __str__(self) -> str:
        return f"payment {self.uuid}"

    @property
    def stripe_idempotency_key(self) -> str:
        """Return the idempotency key that the portal sends to Stripe.

        The portal generates this key, and never sends the client's key to Stripe.
        """
        return f"ops_{self.uuid}_{self.attempt}"

    def keep_request(self, *, description: str, metadata: Mapping[str, str]) -> None:
        """Set `request_body` to the encrypted parts of the request that a retry must send to Stripe.

        The parts may contain personal data.
        """
        if description or metadata:
            request = {"description": description, "metadata": dict(metadata)}
            self.request_body = sealed.seal(json.dumps(request))

    def read_request(self) -> tuple[str, dict[str, str]]:
        """Return the description and metadata of the request.

        Raises sealed.CannotOpen if they were encrypted with another SECRET_KEY.
        """
        if not self.request_body:
            return "", {}
        request = json.loads(sealed.unseal(self.request_body))
        return request["description"], request["metadata"]

    @property
    def formatted_amount(self) -> str:
        return money(self.amount, self.currency)

    @property
    def ticket_amount(self) -> int:
        """Return the part of the requested amount that pays for the reservation's tickets."""
        return ticket_share(self.amount, purpose=self.purpose, fee=self.fee)

    @property
    def is_as_asked(self) -> bool:
        """Return True if exactly the requested amount was received."""
        return self.amount_received == self.amount

    @property
    def duplicates_prevented(self) -> int:
        return self.replay_count + self.conflict_count

    @property
    def amount_net(self) -> int:
        """Return the received money minus refunds and disputes.

        The result is negative if the same money was both refunded and lost to a dispute.
        """
        return self.amount_received - self.amount_refunded - self.amount_disputed

    @property
    def refundable(self) -> int:
        """Return the amount that can still be refunded.

        Money that Stripe has withdrawn for a dispute cannot also be refunded. Refunds to which Stripe has not responded
        are not subtracted.
        """
        return max(0, self.amount_net)

    @property
    def shown_status(self) -> str:
        """Return the status to show: a refund or dispute of a successful payment, or else the payment's status."""
        if self.status != PaymentStatus.SUCCEEDED:
            return self.status
        if self.amount_disputed:
            return str(Reversal.DISPUTED)
        if not self.amount_refunded:
            return self.status
        is_full = self.amount_refunded >= self.amount_received
        return str(Reversal.REFUNDED if is_full else Reversal.PARTIALLY_REFUNDED)

    @property
    def shown_status_label(self) -> str:
        return str(dict(PaymentStatus.choices + Reversal.choices)[self.shown_status])

    @property
    def is_terminal(self) -> bool:
        return self.status in (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)


class TimelineEntry(models.Model):
    """An entry in a payment's timeline, such as a lost response, a takeover, or a change of status."""

    payment = models.ForeignKey(Payment, models.CASCADE, related_name="timeline")
    at = models.DateTimeField()
    what = models.CharField(max_length=100)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "timeline entries"
        indexes: ClassVar = [models.Index(fields=["payment", "at"], name="timeline_of_a_payment")]

    def __str__(self) -> str:
        return self.what
