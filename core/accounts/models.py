"""Define the sign-in policy, identity providers, recovery codes, passkeys, sessions and audit events."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac

from core.lib.sealed_fields import SealedTextField

RECOVERY_CODE_COUNT = 10
# Users type these characters, so no two of them look alike.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class AccessPolicy(models.Model):
    """The sign-in rules for all users. There is at most one row."""

    require_second_factor = models.BooleanField(
        "require two-factor sign-in",
        default=False,
        help_text="Users without two-factor sign-in must set it up at their next sign-in.",
    )
    require_single_sign_on = models.BooleanField(
        "require single sign-on",
        default=False,
        db_default=False,
        help_text="Everyone signs in through an identity provider, except for the people below.",
    )
    password_users = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="+",
        verbose_name="may still use a password",
        help_text="These owners can sign in while the identity provider is unavailable.",
    )

    class Meta:
        verbose_name = "sign-in policy"
        verbose_name_plural = "sign-in policy"
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="there_is_one_policy"),
        ]

    def __str__(self) -> str:
        return "Sign-in policy"

    @classmethod
    def current(cls) -> "AccessPolicy":
        return cls.objects.filter(pk=1).first() or cls(pk=1)


class IdentityProvider(models.Model):
    """A service through which people sign in: OpenID Connect with discovery, SAML 2.0, or GitHub."""

    class Kind(models.TextChoices):
        OPENID_CONNECT = (
            "openid_connect",
            "OpenID Connect (Entra, Google, GitLab, Keycloak, Okta …)",
        )
        SAML = "saml", "SAML 2.0"
        GITHUB = "github", "GitHub"

    name = models.CharField(
        max_length=40, help_text="The sign-in button shows this name, for example Google."
    )
    slug = models.SlugField(
        unique=True,
        max_length=40,
        validators=[
            RegexValidator(r"^(?!github$|environment$)", "This name is reserved.", code="reserved")
        ],
        help_text="This text is part of the callback URL, for example google.",
    )
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.OPENID_CONNECT)
    issuer = models.CharField(max_length=500, blank=True)
    client_id = models.CharField("client ID", max_length=191, blank=True)
    client_secret = SealedTextField(blank=True)
    metadata = models.TextField("metadata of a SAML provider", blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    email_domains = models.CharField(
        "e-mail domains",
        max_length=500,
        blank=True,
        help_text="Only people with a verified e-mail address in these domains may sign in, for example shop.example. "
        "Leave empty to allow all users of the provider.",
    )
    creates_users = models.BooleanField(
        "adds new people",
        default=True,
        help_text="People get an account when they first sign in. If this is off, an owner must add them first.",
    )
    groups_claim = models.CharField(
        max_length=200,
        default="groups",
        blank=True,
        help_text="The claim (OpenID Connect) or attribute (SAML) that lists a person's groups.",
    )
    role_mapping = models.TextField(
        "groups and roles",
        blank=True,
        help_text="Write one group per line, for example platform-team = Owner. The roles are set at every sign-in.",
    )
    default_role = models.ForeignKey(
        Group,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="People in none of these groups get this role. Leave this field empty to refuse them.",
    )
    replaces_second_factor = models.BooleanField(
        "replaces two-factor sign-in",
        default=True,
        help_text="The portal does not ask for a second factor, because the provider does.",
    )

    class Meta:
        verbose_name = "identity provider"

    def __str__(self) -> str:
        return self.name

    @property
    def domains(self) -> list[str]:
        return self.email_domains.lower().replace(",", " ").split()

    @property
    def roles_by_group(self) -> dict[str, str]:
        """Return a mapping from the provider's groups to role names. Lines without "=" are ignored."""
        pairs = (line.rpartition("=") for line in self.role_mapping.splitlines() if "=" in line)
        return {group.strip(): role.strip() for group, _, role in pairs}


class RecoveryCodeQuerySet(models.QuerySet["RecoveryCode"]):
    def renew_for(self, user: User) -> list[str]:
        """Replace all codes of a user and return the new ones, which are stored as hashes only."""
        self.filter(user=user).delete()
        codes = [f"{_random_part()}-{_random_part()}" for _ in range(RECOVERY_CODE_COUNT)]
        self.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
        return codes

    def use(self, user: User, code: str, *, now: datetime) -> bool:
        """Mark a code as used. Return False if it is unknown or already used."""
        unused = self.filter(user=user, digest=_digest(user, code), used_at=None)
        return unused.update(used_at=now) == 1


class RecoveryCode(models.Model):
    """A one-time code that replaces the second factor, for example if a user has lost their phone."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes"
    )
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = RecoveryCodeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="a_recovery_code_is_one_row"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {'used' if self.used_at else 'unused'}"


def _random_part() -> str:
    return get_random_string(5, _ALPHABET)


def _digest(user: User, code: str) -> str:
    plain = "".join(code.split()).replace("-", "").lower()
    return salted_hmac(f"access.recovery.{user.pk}", plain, algorithm="sha256").hexdigest()


class Passkey(models.Model):
    """The public part of a user's passkey (WebAuthn). The private part stays on the user's device."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=60)
    credential_id = models.CharField(max_length=2046, unique=True, editable=False)
    credential = models.BinaryField(editable=False)
    sign_count = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    def live(self) -> "UserSessionQuerySet":
        unexpired = Session.objects.filter(expire_date__gt=timezone.now())
        return self.filter(session_key__in=unexpired.values("session_key"))


class UserSession(models.Model):
    """A signed-in session, for the list of a user's devices. `session_key` is the key of the Django session."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40, unique=True)
    device = models.CharField(max_length=60)
    address = SealedTextField(blank=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    objects = UserSessionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.device} of user {self.user_id}"


class Unchangeable(Exception):
    """Raised when code changes an audit event, or deletes one without calling `prune()`."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise Unchangeable

    def delete(self) -> tuple[int, dict[str, int]]:
        raise Unchangeable

    def prune(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` events that are older than `before`, oldest first. Return the number deleted."""
        old = self.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:limit]
        count, _ = models.QuerySet.delete(self.filter(pk__in=list(old)))
        return count


class AuditEvent(models.Model):
    """An action of a user.

    The only personal data in an event is the user name; form input and client addresses are never stored.

    Events are never changed. When a user is deleted, the database clears the relation, and the event keeps the name.
    """

    at = models.DateTimeField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    username = models.CharField(max_length=150, blank=True)
    action = models.CharField(
        max_length=100, help_text="The action, for example clients:dsn-key-revoke"
    )
    target = models.CharField(max_length=200, blank=True, help_text="Ids of the affected objects")
    detail = models.CharField(max_length=500, blank=True)
    status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="HTTP status of the response"
    )
    request_id = models.CharField(max_length=128, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = "audit event"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest_first"),
            models.Index(fields=["user", "-at"], name="audit_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.username or 'anonymous'}: {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Unchangeable
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Unchangeable
