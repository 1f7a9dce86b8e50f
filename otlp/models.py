from typing import ClassVar

from django.db import models

from core.clients.models import ClientApp


class CumulativeSum(models.Model):
    """The last value of a sum that an app reports as a total since its start.

    When the app reports the next value, the portal counts the difference.
    """

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+", db_index=False)
    # The stream is a hash of the resource, the scope, the metric and its attributes.
    stream = models.CharField(max_length=32)
    started_ns = models.BigIntegerField()  # A new start means that the total begins at 0 again.
    value = models.FloatField()
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "stream"], name="one_sum_per_stream")
        ]

    def __str__(self) -> str:
        return f"{self.stream} of app {self.app_id}: {self.value}"
