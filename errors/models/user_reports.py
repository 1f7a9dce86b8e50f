from django.db import models

from core.clients.models import ClientApp


class UserReport(models.Model):
    """A message that a user wrote about an error, sent as a user report or feedback item."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    event_id = models.UUIDField(null=True, blank=True, db_index=True)
    message = models.TextField()
    received_at = models.DateTimeField()
    url = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.message[:80]
