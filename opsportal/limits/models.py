"""How often who may call what, and who was refused."""

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q


class Tier(models.TextChoices):
    """Which calls count together. Errors have each app's own quota; webhooks, health and static files have none."""

    AUTH = "auth", "Signing in"
    PAYMENT = "payment", "Creating and changing payments"
    INGEST = "ingest", "Reporting measurements"
    WRITE = "write", "Other API calls that change something"
    READ = "read", "Everything else"
    STAFF = "staff", "People who are signed in"


class RateLimitTier(models.Model):
    """A tier's limit, for everybody or for one app."""

    tier = models.CharField(max_length=10, choices=Tier)
    app = models.ForeignKey(
        "clients.ClientApp",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rate_limits",
        help_text="Empty: for everybody who has no limit of their own here.",
    )
    limit = models.PositiveIntegerField(help_text="Calls within the window. 0 refuses all.")
    window_seconds = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    is_enabled = models.BooleanField(default=True, help_text="Off: this tier is not limited.")

    class Meta:
        verbose_name = "rate limit"
        ordering = ["tier", "app"]
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
        whose = f" for {self.app}" if self.app else ""
        return f"{self.get_tier_display()}{whose}: {self.limit} per {self.window_seconds} s"


class BlockedCallQuerySet(models.QuerySet["BlockedCall"]):
    def since(self, moment: datetime) -> "BlockedCallQuerySet":
        return self.filter(minute__gte=moment)


class BlockedCall(models.Model):
    """Calls refused in one minute: whose, of which tier, how many. Addresses are kept as a keyed hash only."""

    minute = models.DateTimeField()
    tier = models.CharField(max_length=10, choices=Tier)
    subject = models.CharField(max_length=80)
    path = models.CharField(max_length=200, help_text="Of the last one")
    count = models.PositiveIntegerField()

    objects = BlockedCallQuerySet.as_manager()

    class Meta:
        ordering = ["-minute", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "tier", "subject"], name="one_row_a_minute_tier_and_subject"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.tier} calls by {self.subject} at {self.minute:%Y-%m-%d %H:%M}"
