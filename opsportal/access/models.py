"""Who may do what, how they prove who they are, and what they did."""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils.crypto import get_random_string, salted_hmac

RECOVERY_CODES = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike


class AccessPolicy(models.Model):
    """What holds for everybody who signs in. There is one row."""

    require_second_factor = models.BooleanField(
        "everybody needs a second factor",
        default=False,
        help_text="Whoever has none sets it up at the next sign-in, before anything else.",
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
        """Ten new codes in place of all old ones, to be shown now; only their hashes are kept."""
        self.filter(user=user).delete()
        codes = [f"{_part()}-{_part()}" for _ in range(RECOVERY_CODES)]
        self.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
        return codes

    def use(self, user: User, code: str, *, now: datetime) -> bool:
        """True once for each code."""
        unused = self.filter(user=user, digest=_digest(user, code), used_at=None)
        return unused.update(used_at=now) == 1


class RecoveryCode(models.Model):
    """A one-time way in for somebody whose phone is gone."""

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


def _part() -> str:
    return get_random_string(5, _LETTERS)


def _digest(user: User, code: str) -> str:
    plain = "".join(code.split()).replace("-", "").lower()
    return salted_hmac(f"access.recovery.{user.pk}", plain, algorithm="sha256").hexdigest()


class AuditEvent(models.Model):
    """Somebody did something. What is kept about people is their user name; not what they typed, nor from where."""

    at = models.DateTimeField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    username = models.CharField(max_length=150, blank=True)
    action = models.CharField(
        max_length=100, help_text="What was done, like clients:dsn-key-revoke"
    )
    target = models.CharField(max_length=200, blank=True, help_text="To what, by id")
    detail = models.CharField(max_length=500, blank=True)
    status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How it was answered"
    )
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        verbose_name = "audit event"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest_first"),
            models.Index(fields=["user", "-at"], name="audit_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.username or 'nobody'}: {self.action}"
