from typing import ClassVar

from django.db import models

from core.clients.models import ClientApp


class CumulativeSum(models.Model):
    """The last reported value of a cumulative sum, which counts up from the start of the app.

    When the app reports the next value, the portal counts the difference.
    """

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+", db_index=False)
    # Hash of the resource, the scope, the metric's name and the attributes, which together identify the sum.
    stream = models.CharField(max_length=32)
    started_ns = models.BigIntegerField()  # A later start means that the total was reset to 0.
    value = models.FloatField()
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "stream"], name="one_sum_per_stream")
        ]

    def __str__(self) -> str:
        return f"{self.stream} of app {self.app_id}: {self.value}"
