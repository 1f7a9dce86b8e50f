"""The sign-in policy, recovery codes and audit events."""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils.crypto import get_random_string, salted_hmac

RECOVERY_CODE_COUNT = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # has no characters that look alike


class AccessPolicy(models.Model):
    """The sign-in rules for all users. There is one row."""

    require_second_factor = models.BooleanField(
        "require two-factor sign-in",
        default=False,
        help_text="Users without two-factor sign-in must set it up at their next sign-in.",
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


class RecoveryCodeQuerySet(models.QuerySet["RecoveryCode"]):
    def renew_for(self, user: User) -> list[str]:
        """Replace all codes of a user and return the new ones, which are stored as hashes only."""
        self.filter(user=user).delete()
        codes = [f"{_random_part()}-{_random_part()}" for _ in range(RECOVERY_CODE_COUNT)]
        self.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
        return codes

    def use(self, user: User, code: str, *, now: datetime) -> bool:
        """Mark a code as used. Returns False if it is unknown or already used."""
        unused = self.filter(user=user, digest=_digest(user, code), used_at=None)
        return unused.update(used_at=now) == 1


class RecoveryCode(models.Model):
    """A one-time code for a user who has lost their phone."""

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


class AuditEvent(models.Model):
    """An action of a user. Of personal data it contains the user name only, not the user's input or address."""

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

    class Meta:
        verbose_name = "audit event"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest_first"),
            models.Index(fields=["user", "-at"], name="audit_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.username or 'anonymous'}: {self.action}"
