from django.db import models


class ProviderOutageQuerySet(models.QuerySet["ProviderOutage"]):
    def open(self) -> "ProviderOutageQuerySet":
        return self.filter(ended_at=None)


class ProviderOutage(models.Model):
    """A period in which no buyer could pay, because Stripe did not respond."""

    started_at = models.DateTimeField(
        db_index=True, help_text="Set to two minutes before the portal saw the first failure."
    )
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300)

    objects = ProviderOutageQuerySet.as_manager()

    def __str__(self) -> str:
        return f"outage since {self.started_at:%Y-%m-%d %H:%M}"
