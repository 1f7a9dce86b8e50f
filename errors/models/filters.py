from typing import ClassVar

from django.db import models

from core.clients.models import ClientApp
from errors.event.filters import Filter


class InboundFilter(models.Model):
    """A filter that is enabled for an app, with its patterns. Errors that match it are not stored."""

    class Kind(models.TextChoices):
        BROWSER_EXTENSIONS = Filter.BROWSER_EXTENSIONS.value, "Browser extensions"
        LOCALHOST = Filter.LOCALHOST.value, "Localhost"
        LEGACY_BROWSERS = Filter.LEGACY_BROWSERS.value, "Legacy browsers"
        WEB_CRAWLERS = Filter.WEB_CRAWLERS.value, "Web crawlers"
        MESSAGES = Filter.MESSAGES.value, "Messages"
        RELEASES = Filter.RELEASES.value, "Releases"

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind)
    patterns = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "kind"], name="each_filter_once_per_app")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of app {self.app_id}"
