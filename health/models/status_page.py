"""Define the appearance of the status page, and incident templates."""

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models

from health.models.components import Component
from health.models.incidents import IncidentState

HEX_COLOR = RegexValidator(r"^#[0-9a-fA-F]{6}\Z", "Enter a color such as #1f5fa8.")
DEFAULT_NAME = "System status"
MAIN_PAGE = "main"


class StatusPage(models.Model):
    """The name and appearance of the status page. The table has at most one row."""

    # Configuration files refer to the row by this key, so it never changes.
    reference = models.CharField(
        max_length=20, default=MAIN_PAGE, db_default=MAIN_PAGE, editable=False
    )
    name = models.CharField(max_length=80, default=DEFAULT_NAME)
    home_url = models.URLField(blank=True)
    logo = models.BinaryField(blank=True, default=b"", db_default=b"")
    logo_type = models.CharField(max_length=20, blank=True, editable=False)
    accent_color = models.CharField(max_length=7, blank=True, validators=[HEX_COLOR])
    dark_accent_color = models.CharField(
        "accent color in dark mode", max_length=7, blank=True, validators=[HEX_COLOR]
    )

    class Meta:
        verbose_name = "status page"
        verbose_name_plural = "status page"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(pk=1), name="there_is_one_status_page"),
        ]

    def __str__(self) -> str:
        return "Appearance of the status page"

    @classmethod
    def current(cls) -> "StatusPage":
        return cls.objects.filter(pk=1).first() or cls(pk=1)


class IncidentTemplate(models.Model):
    """A prepared text that staff can use for an incident or an update."""

    name = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=200, blank=True)
    component = models.ForeignKey(
        Component, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_major = models.BooleanField("major outage", default=False)
    state = models.CharField(
        max_length=15, choices=IncidentState, default=IncidentState.INVESTIGATING
    )
    text = models.TextField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
