from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp


class EventDeletion(models.Model):
    """A request to delete all events of a deleted group, or all events of one user of an app.

    The row is deleted once all of these events are deleted. Pages do not show the events of a deleted group.
    """

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    group = models.BigIntegerField(null=True)
    user_key = models.CharField(max_length=128, blank=True)
    requested_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(group__isnull=True) ^ Q(user_key=""), name="of_a_group_or_a_user"
            )
        ]

    def __str__(self) -> str:
        return f"deletion {self.pk} requested at {self.requested_at:%Y-%m-%d %H:%M}"
