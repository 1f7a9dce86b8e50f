"""Define subscribers to news about incidents and maintenance, and the messages to them by e-mail or webhook.

Addresses are personal data, so they are stored encrypted, with a keyed hash for lookups.
"""

import secrets
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F

from core.lib.sealed_fields import SealedTextField
from health.models.incidents import IncidentUpdate
from health.models.maintenance import MaintenanceNotice


def new_token() -> str:
    return secrets.token_urlsafe(24)


class SubscriberKind(models.TextChoices):
    EMAIL = "email", "e-mail"
    WEBHOOK = "webhook"


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    def confirmed(self) -> "SubscriberQuerySet":
        return self.filter(confirmed_at__isnull=False)


class Subscriber(models.Model):
    """An address that gets updates. It is deleted after two days if the subscription is not confirmed."""

    kind = models.CharField(
        max_length=10,
        choices=SubscriberKind,
        default=SubscriberKind.EMAIL,
        db_default=SubscriberKind.EMAIL,
        editable=False,
    )
    address_hash = models.CharField(max_length=64, unique=True, editable=False)
    sealed_address = models.TextField(editable=False)
    token = models.CharField(max_length=40, unique=True, default=new_token, editable=False)
    # The portal signs its calls to a webhook with this secret.
    secret = SealedTextField(blank=True, default="", db_default="", editable=False)
    asked_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)

    objects = SubscriberQuerySet.as_manager()

    def __str__(self) -> str:
        return f"subscriber {self.pk}"


class MailState(models.TextChoices):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class StatusMailQuerySet(models.QuerySet["StatusMail"]):
    def due(self, now: datetime) -> "StatusMailQuerySet":
        return self.filter(state=MailState.WAITING, next_attempt_at__lte=now)

    def claim(self, pk: int, *, now: datetime, until: datetime) -> bool:
        """Claim a due message for one worker until `until`, and count the attempt. Return True on success."""
        return bool(
            self.due(now).filter(pk=pk).update(attempts=F("attempts") + 1, next_attempt_at=until)
        )


class StatusMail(models.Model):
    """A message to one subscriber: an incident update, a maintenance notice or a confirmation request."""

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="mails")
    update = models.ForeignKey(
        IncidentUpdate, models.CASCADE, null=True, blank=True, related_name="mails"
    )
    notice = models.ForeignKey(
        MaintenanceNotice, models.CASCADE, null=True, blank=True, related_name="mails"
    )
    state = models.CharField(max_length=10, choices=MailState, default=MailState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    objects = StatusMailQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subscriber", "update"], name="one_mail_per_update_and_subscriber"
            ),
            models.UniqueConstraint(
                fields=["subscriber", "notice"], name="one_mail_per_notice_and_subscriber"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "next_attempt_at"], name="status_mails_due")
        ]

    def __str__(self) -> str:
        return f"mail {self.pk} ({self.state})"

    @property
    def is_confirmation(self) -> bool:
        return self.update_id is None and self.notice_id is None

    @property
    def written_at(self) -> datetime:
        """Return the time of the news or, for a confirmation, the time of the subscription."""
        news = self.update or self.notice
        return news.at if news else self.subscriber.asked_at
