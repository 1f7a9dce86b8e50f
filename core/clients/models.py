"""Define registered client apps and their keys."""

import hashlib
import secrets
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone


def new_public_key() -> str:
    return secrets.token_hex(16)


class Platform(models.TextChoices):
    PYTHON = "python"
    JAVASCRIPT = "javascript", "JavaScript"
    NODE = "node", "Node"
    PHP = "php", "PHP"
    RUBY = "ruby"
    GO = "go"
    JAVA = "java"
    DOTNET = "dotnet", ".NET"
    OTHER = "other"


class Scope(models.TextChoices):
    """A permission of an API key."""

    INGEST = "ingest", "Report errors"
    METRICS = "metrics", "Report measurements, deliveries, activity and gauges"
    PAYMENTS = "payments", "Create and read payments"
    RESERVATIONS = "reservations", "Create, read, extend, cancel and complete reservations"
    RELEASES = "releases", "Report releases and deploys, and upload source maps"
    ALERTS = "alerts", "Send alerts from other systems, such as Alertmanager"
    ON_CALL = "on-call", "Read who is on call, and enter overrides"
    ERRORS_READ = "errors:read", "Read errors, their events and releases"
    ERRORS_WRITE = "errors:write", "Resolve, mute, assign, merge, comment on and delete errors"
    CONFIG_READ = "config:read", "Read monitors, heartbeats, rules, channels, people and teams"
    CONFIG_WRITE = "config:write", "Change monitors, heartbeats, rules, channels, people and teams"
    INCIDENTS_READ = "incidents:read", "Read incidents, maintenance windows and silences"
    INCIDENTS_WRITE = "incidents:write", "Change incidents, maintenance windows and silences"
    ADMIN = "admin", "Run checks and read health details"


# A personal token may have these scopes. Calls with the other scopes concern one app and need a key of that app.
PERSONAL_SCOPES = (
    Scope.ERRORS_READ,
    Scope.ERRORS_WRITE,
    Scope.ON_CALL,
    Scope.CONFIG_READ,
    Scope.CONFIG_WRITE,
    Scope.INCIDENTS_READ,
    Scope.INCIDENTS_WRITE,
    Scope.ADMIN,
)
# Calls with these scopes concern the whole portal instead of one app.
PORTAL_SCOPES = PERSONAL_SCOPES[2:]


class ClientAppQuerySet(models.QuerySet["ClientApp"]):
    def with_last_call(self) -> "ClientAppQuerySet":
        """Annotate `last_call_at`: the time of the last accepted call with any key of the app, else None."""
        newest = [
            Subquery(
                keys.objects.filter(app=OuterRef("pk"), last_used_at__isnull=False)
                .order_by("-last_used_at")
                .values("last_used_at")[:1]
            )
            for keys in (ClientKey, ApiKey)
        ]
        # On SQLite, Greatest returns NULL if any argument is NULL, so each argument falls back to the other.
        return self.annotate(last_call_at=Greatest(Coalesce(*newest), Coalesce(*reversed(newest))))


class ClientApp(models.Model):
    """An app that reports to the portal. Its id is the project id in its DSN."""

    PORTAL_SLUG: ClassVar[str] = "opsportal"

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=50, unique=True)
    platform = models.CharField(max_length=20, choices=Platform, default=Platform.OTHER)
    is_active = models.BooleanField(default=True)
    allowed_origins = models.JSONField(
        default=list,
        blank=True,
        help_text='Browser origins that may report errors, e.g. ["https://shop.example"]. '
        "An empty list allows all origins.",
    )
    events_per_second = models.PositiveIntegerField(
        null=True, blank=True, help_text="Maximum events per second. Leave empty for no limit."
    )
    events_per_hour = models.PositiveIntegerField(null=True, blank=True)
    events_per_day = models.PositiveIntegerField(null=True, blank=True)
    logs_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Maximum log entries per minute. Leave empty for the portal's limit. Enter 0 to store none.",
    )
    retention_days = models.PositiveSmallIntegerField(default=30)
    scrub_keys = models.JSONField(
        default=list, blank=True, help_text='Additional field names to filter, e.g. ["iban"].'
    )
    safe_keys = models.JSONField(
        default=list, blank=True, help_text="Field names that are never filtered."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ClientAppQuerySet.as_manager()

    class Meta:
        verbose_name = "app"
        ordering = ["name"]
        permissions = [
            ("see_every_app", "Can see every app, whatever the team"),
            ("see_team_apps_only", "Can see only the apps of their own teams"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(retention_days__gte=1), name="retention_is_at_least_a_day"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ClientKeyQuerySet(models.QuerySet["ClientKey"]):
    def live(self) -> "ClientKeyQuerySet":
        return self.filter(_not_revoked(), app__is_active=True)


def _not_revoked() -> Q:
    """Match keys without a revocation time or with one in the future, as rotated keys have in their grace period."""
    return Q(revoked_at=None) | Q(revoked_at__gt=timezone.now())


class ClientKey(models.Model):
    """The public key of a DSN. Browsers receive it in JavaScript, so it is not secret and can only send data."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="keys")
    label = models.CharField(max_length=100, default="default")
    public_key = models.CharField(
        max_length=32, unique=True, default=new_public_key, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ClientKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "DSN key"

    def __str__(self) -> str:
        return f"{self.app}: {self.label}"

    @property
    def dsn(self) -> str:
        """Return the DSN for SDKs, scheme://key@host/path/app-id, based on settings.BASE_URL."""
        base = urlsplit(settings.BASE_URL)
        return f"{base.scheme}://{self.public_key}@{base.netloc}{base.path}/{self.app_id}"


def hash_secret(secret: str) -> str:
    """Hash an API key or token. One round of SHA-256 is enough because these are long and random."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> "ApiKeyQuerySet":
        not_expired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(_not_revoked(), not_expired, app__is_active=True)


class ApiKey(models.Model):
    """A secret key for servers, CI and scripts: `Authorization: Bearer ops_…`, with scopes. Only its hash is stored."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="api_keys")
    label = models.CharField(max_length=100, default="default")
    prefix = models.CharField(max_length=12, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.app})"

    @classmethod
    def issue(
        cls,
        *,
        app: ClientApp,
        scopes: list[str],
        label: str = "default",
        expires_at: datetime | None = None,
    ) -> tuple["ApiKey", str]:
        """Create a key and return it with its secret, which cannot be shown later, because only its hash is stored."""
        secret = "ops_" + secrets.token_urlsafe(32)
        key = cls.objects.create(
            app=app,
            label=label,
            prefix=secret[:10],
            key_hash=hash_secret(secret),
            scopes=scopes,
            expires_at=expires_at,
        )
        return key, secret


class PersonalTokenQuerySet(models.QuerySet["PersonalToken"]):
    def live(self) -> "PersonalTokenQuerySet":
        is_valid = Q(revoked_at=None, expires_at__gt=timezone.now())
        return self.filter(is_valid, user__is_active=True, user__is_staff=True)


class PersonalToken(models.Model):
    """A person's own key for the API: `Authorization: Bearer opp_…`. Only its hash is stored.

    A call with the token may do what both the token's scopes and the person's permissions allow, in the apps that the
    person sees.
    """

    PREFIX: ClassVar[str] = "opp_"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="personal_tokens"
    )
    label = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = PersonalTokenQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["user", "-created_at"], name="tokens_of_a_person")]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    def state(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "live" if self.expires_at > now else "expired"
