"""Define monitors, which probe addresses regularly, and the requests that an HTTP monitor sends first."""

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
from health.checking.values import parse_extractions
from health.models.components import Component
from health.monitor_types import TLS_SCHEMES, MonitorType, describe_problem, port_of, type_of

_STATUS_RANGES = re.compile(r"\d{3}(-\d{3})?(\s*,\s*\d{3}(-\d{3})?)*")


def validate_status_ranges(value: str) -> None:
    if not _STATUS_RANGES.fullmatch(value):
        raise ValidationError("Enter status codes or ranges, such as 200-299 or 200,204,301.")


def validate_headers(value: object) -> None:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) and "\n" not in k + v for k, v in value.items()
    ):
        raise ValidationError('Enter an object of strings, such as {"Accept": "application/json"}.')


def validate_extractions(value: str) -> None:
    try:
        parse_extractions(value)
    except ValueError as error:
        raise ValidationError(f"{error}.") from error


def validate_resolver(value: str) -> None:
    try:
        parts = urlsplit(f"//{value}")
        is_valid = bool(parts.hostname) and parts.netloc == value and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValidationError(
            "Enter an address such as 9.9.9.9, or one with a port, such as 192.0.2.1:5353."
        )


class RecordType(models.TextChoices):
    A = "A", "A (IPv4 address)"
    AAAA = "AAAA", "AAAA (IPv6 address)"
    CNAME = "CNAME", "CNAME (alias)"
    MX = "MX", "MX (mail server)"
    NS = "NS", "NS (name server)"
    TXT = "TXT", "TXT (text)"
    SRV = "SRV", "SRV (service)"
    CAA = "CAA", "CAA (certificate authority)"
    SOA = "SOA", "SOA (zone)"
    PTR = "PTR", "PTR (name of an IP address)"


class ValueMatch(models.TextChoices):
    CONTAINS = "contains", "All of these are among the records"
    EXACTLY = "exactly", "The records are exactly these"


class MonitorQuerySet(models.QuerySet["Monitor"]):
    def due(self, now: datetime) -> "MonitorQuerySet":
        # The scheduled task does not start exactly on the minute, so monitors that will soon be due are probed now.
        soon = now + timedelta(seconds=5)
        return self.filter(is_enabled=True).filter(Q(next_run_at=None) | Q(next_run_at__lte=soon))


class HTTPRequest(models.Model):
    """A request with the expected status codes: the main request of a monitor, or a step before it."""

    METHODS: ClassVar = [
        (m, m) for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    ]

    method = models.CharField(max_length=10, choices=METHODS, default="GET")
    headers = SealedJSONField(default=dict, blank=True, validators=[validate_headers])
    body = SealedTextField(blank=True)
    expected_status = models.CharField(
        max_length=100, default="200-299", validators=[validate_status_ranges]
    )

    class Meta:
        abstract = True

    def accepts(self, status: int) -> bool:
        """Return True if the monitor expects the status code."""
        for part in self.expected_status.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


class Monitor(HTTPRequest, Component):
    """An address that is probed regularly.

    The scheme of the address determines the monitor's type; see `health.monitor_types`.
    """

    url = models.CharField(
        "address",
        max_length=500,
        help_text="Enter an https://, http://, tcp://, ping://, dns://, postgresql://, redis:// or smtp:// address.",
    )
    follow_redirects = models.BooleanField(
        default=True,
        help_text="Follow up to 5 redirects and judge the last response. "
        "A redirect whose status is expected is not followed.",
    )
    contains = models.CharField(
        "body contains",
        max_length=200,
        blank=True,
        help_text="The first 4 MB of the response must contain this text. Leave empty to skip this check.",
    )
    json_path = models.CharField(
        max_length=200, blank=True, help_text="For example status.indicator or checks[0].state."
    )
    json_value = models.CharField(
        max_length=200, blank=True, help_text="The value that the response must have at this path."
    )
    record_type = models.CharField(
        max_length=10, choices=RecordType, default=RecordType.A, db_default=RecordType.A
    )
    resolver = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        validators=[validate_resolver],
        help_text="The name server to query, for example 9.9.9.9. Leave empty to use the name server of this machine.",
    )
    expected_value = models.TextField(
        blank=True,
        default="",
        db_default="",
        max_length=2000,
        help_text="Enter one value per line. Leave empty to accept any value.",
    )
    value_match = models.CharField(
        max_length=10,
        choices=ValueMatch,
        default=ValueMatch.CONTAINS,
        db_default=ValueMatch.CONTAINS,
    )
    username = models.CharField("user name", max_length=200, blank=True, default="", db_default="")
    password = SealedTextField(blank=True, default="", db_default="")
    query = models.TextField(
        blank=True,
        default="",
        db_default="",
        max_length=2000,
        help_text="The query runs in a read-only transaction. Leave empty for SELECT 1.",
    )
    requires_tls = models.BooleanField(
        "require TLS",
        default=False,
        db_default=False,
        help_text="Encrypt the connection, and verify the server's certificate.",
    )
    is_inverted = models.BooleanField(
        "upside down",
        default=False,
        db_default=False,
        help_text="The monitor is up while the address does not respond as described here, and down while it does.",
    )
    latency_limit_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Slower responses count as degraded. Leave empty for no limit.",
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
        help_text="The app that this monitor belongs to (optional).",
    )
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = MonitorQuerySet.as_manager()  # type: ignore[misc, assignment]

    def clean(self) -> None:
        if problem := describe_problem(self.url):
            raise ValidationError({"url": problem})
        if self.type is MonitorType.SMTP and self.username and not self.is_encrypted:
            text = "Without TLS, the password would be readable on the network."
            raise ValidationError({"requires_tls": text})

    @property
    def type(self) -> MonitorType:
        return type_of(self.url)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return port_of(self.url)

    @property
    def path(self) -> str:
        """Return the part of the address after the host, such as the name of a database."""
        return urlsplit(self.url).path.strip("/")

    @property
    def is_encrypted(self) -> bool:
        """Return True if the settings or the scheme of the address require TLS."""
        return self.requires_tls or urlsplit(self.url).scheme in TLS_SCHEMES

    @property
    def certificate_address(self) -> tuple[str, int] | None:
        """Return the host and port of the certificate, or None if the connection does not begin with TLS."""
        if urlsplit(self.url).scheme not in TLS_SCHEMES or not self.host:
            return None
        return self.host, self.port


class MonitorStep(HTTPRequest):
    """A request that an HTTP monitor sends before its main request, such as a sign-in."""

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=100)
    url = models.CharField("address", max_length=500)
    extract = models.TextField(
        blank=True,
        max_length=2000,
        validators=[validate_extractions],
        help_text="Enter one variable per line, such as token = json.access_token or session = header.X-Session.",
    )

    class Meta:
        ordering: ClassVar = ["position", "pk"]

    def __str__(self) -> str:
        return self.name
