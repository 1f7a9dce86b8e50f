"""Define recipients: people with their addresses and quiet hours, and teams of people."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from alerts.models.channel import QuietHours
from core.clients.models import ClientApp
from core.lib.reference_field import ReferenceField


class Person(QuietHours):
    name = models.CharField(max_length=100)
    reference = ReferenceField(source="name")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    email = models.EmailField(blank=True)
    phone = models.CharField(
        max_length=20,
        blank=True,
        validators=[
            RegexValidator(
                r"^\+[1-9]\d{6,14}$",
                "Enter the number in international format, such as +491701234567.",
            )
        ],
    )
    slack_id = models.CharField(
        max_length=20,
        blank=True,
        validators=[RegexValidator(r"^[UW][A-Z0-9]{5,}$", "Enter a member ID such as U024BE7LH.")],
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "people"
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    name = models.CharField(max_length=100, unique=True)
    people = models.ManyToManyField(Person, blank=True, related_name="teams")
    apps = models.ManyToManyField(
        ClientApp,
        blank=True,
        related_name="+",
        help_text="The members see only these apps and the apps of their other teams. Leave empty for no limit.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
