"""Monitors: external addresses that are probed regularly."""

import re
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp
from core.lib.sealed_fields import SealedJSONField, SealedTextField
from health.models.components import Component

_STATUS_RANGES = re.compile(r"\d{3}(-\d{3})?(\s*,\s*\d{3}(-\d{3})?)*")


def validate_status_ranges(value: str) -> None:
    if not _STATUS_RANGES.fullmatch(value):
        raise ValidationError("Enter status codes or ranges, such as 200-299 or 200,204,301.")


def validate_headers(value: object) -> None:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) and "\n" not in k + v for k, v in value.items()
    ):
        raise ValidationError('Enter an object of strings, such as {"Accept": "application/json"}.')


class MonitorQuerySet(models.QuerySet["Monitor"]):
    def due(self, now: datetime) -> "MonitorQuerySet":
        # The minute tick is not exact, so a monitor that is due within seconds is due now.
        soon = now + timedelta(seconds=5)
        return self.filter(is_enabled=True).filter(Q(next_run_at=None) | Q(next_run_at__lte=soon))


class Monitor(Component):
    """An address that is probed regularly: `https://…`, `http://…` or `tcp://host:port`."""

    METHODS: ClassVar = [(m, m) for m in ("GET", "HEAD", "POST", "PUT", "OPTIONS")]

    url = models.CharField(
        "address", max_length=500, help_text="https://…, http://… or tcp://host:port"
    )
    method = models.CharField(max_length=10, choices=METHODS, default="GET")
    headers = SealedJSONField(default=dict, blank=True, validators=[validate_headers])
    body = SealedTextField(blank=True)
    expected_status = models.CharField(
        max_length=100, default="200-299", validators=[validate_status_ranges]
    )
    follow_redirects = models.BooleanField(
        default=True,
        help_text="Follow up to 5 redirects, except to a status that is itself expected, and judge the last response",
    )
    contains = models.CharField(
        "body contains",
        max_length=200,
        blank=True,
        help_text="Text that must be in the first 4 MB of the response. Leave empty to skip this check",
    )
    json_path = models.CharField(
        max_length=200, blank=True, help_text="For example status.indicator or checks[0].state"
    )
    json_value = models.CharField(max_length=200, blank=True, help_text="Expected value")
    latency_limit_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Slower responses count as degraded. Leave empty for no limit",
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(15)]
    )
    interval_minutes = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(1440)]
    )
    app = models.ForeignKey(
        ClientApp,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="monitors",
        help_text="App this monitor belongs to (optional)",
    )
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = MonitorQuerySet.as_manager()  # type: ignore[misc, assignment]

    def clean(self) -> None:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValidationError({"url": "The port is not a number."}) from error
        if parts.scheme not in ("http", "https", "tcp") or not parts.hostname:
            raise ValidationError({"url": "Enter https://…, http://… or tcp://host:port."})
        if parts.scheme == "tcp" and not port:
            raise ValidationError({"url": "Add a port, such as tcp://db.example.com:5432."})
        if parts.username or parts.password:
            raise ValidationError({"url": "Put credentials into a header, not into the address."})

    @property
    def is_tcp(self) -> bool:
        return self.url.startswith("tcp://")

    @property
    def certificate_address(self) -> tuple[str, int] | None:
        """Return the host and port whose certificate the monitor depends on, or None without TLS."""
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            return None
        return parts.hostname, parts.port or 443

    def accepts(self, status: int) -> bool:
        """Return True if the HTTP status code is among the expected ones."""
        for part in self.expected_status.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False
