"""Define the rate limits, and the counts of the requests that they rejected."""

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from core.clients.models import ClientApp
from core.lib.app_access import Apps


class Tier(models.TextChoices):
    """A group of requests that share a count.

    Error reports are in no tier, because each app has a quota for them. Webhooks, health checks, metrics and static
    files have no limit.
    """

    AUTH = "auth", "Sign-in"
    PAYMENT = "payment", "Payments and reservations, per key"
    BUYER = "buyer", "Payments, per buyer"
    INGEST = "ingest", "Measurements"
    WRITE = "write", "Other API writes"
    READ = "read", "All other requests"
    STAFF = "staff", "Signed-in users"


class RateLimitTier(models.Model):
    """The limit of a tier, by default or for one app."""

    tier = models.CharField(max_length=10, choices=Tier)
    app = models.ForeignKey(
        "clients.ClientApp",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rate_limits",
        help_text="Leave this field empty to set the default limit.",
    )
    limit = models.PositiveIntegerField(
        help_text="Maximum requests within the window. Enter 0 to reject all requests."
    )
    window_seconds = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    is_enabled = models.BooleanField(
        default=True, help_text="If this is off, requests of this tier are not limited."
    )

    class Meta:
        verbose_name = "rate limit"
        ordering = ["tier", F("app__name").asc(nulls_first=True)]
        constraints = [
            models.UniqueConstraint(fields=["tier", "app"], name="one_limit_a_tier_and_app"),
            models.UniqueConstraint(
                fields=["tier"], condition=Q(app=None), name="one_limit_a_tier_for_everybody"
            ),
            models.CheckConstraint(
                condition=Q(window_seconds__gte=1), name="a_window_is_at_least_a_second"
            ),
        ]

    def __str__(self) -> str:
        scope = f" for {self.app}" if self.app else ""
        return f"{self.get_tier_display()}{scope}: {self.limit} per {self.window_seconds} s"


class BlockedCallQuerySet(models.QuerySet["BlockedCall"]):
    def since(self, timestamp: datetime) -> "BlockedCallQuerySet":
        return self.filter(minute__gte=timestamp)


class BlockedCall(models.Model):
    """The number of requests of one client and tier that were rejected in one minute.

    Client addresses are stored as keyed hashes only.
    """

    minute = models.DateTimeField()
    tier = models.CharField(max_length=10, choices=Tier)
    subject = models.CharField(max_length=80)
    path = models.CharField(max_length=200, help_text="Path of the last rejected request")
    count = models.PositiveIntegerField()

    objects = BlockedCallQuerySet.as_manager()

    class Meta:
        verbose_name = "rejected request"
        ordering = ["-minute", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "tier", "subject"], name="one_row_a_minute_tier_and_subject"
            )
        ]

    def __str__(self) -> str:
        return (
            f"{self.count} {self.tier} requests by {self.subject} at {self.minute:%Y-%m-%d %H:%M}"
        )

    @classmethod
    def app_condition(cls, apps: Apps) -> Q:
        """Return the condition for requests with a key of these apps or without a key (see core.lib.app_access)."""
        slugs = ClientApp.objects.filter(pk__in=apps).values_list("slug", flat=True)
        own = [f"app:{slug}" for slug in slugs]
        return ~Q(subject__startswith="app:") | Q(subject__in=own)
