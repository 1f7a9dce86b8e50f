"""Register apps, and issue, rotate and revoke their keys."""

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from core.clients.models import (
    PERSONAL_SCOPES,
    ApiKey,
    ClientApp,
    ClientKey,
    PersonalToken,
    Platform,
    Scope,
    hash_secret,
)

ROTATION_GRACE_PERIOD = timedelta(hours=24)  # A rotated key stays valid for this long.


class UnknownScope(ValueError):
    pass


def ensure_portal_app() -> ClientApp:
    """Return the app under which the portal records its own requests, errors and checks; create it if needed."""
    return _ensure(ClientApp.PORTAL_SLUG, "opsportal", Platform.PYTHON)


def ensure_first_app() -> ClientApp | None:
    """Return a sample app for trying the portal, created if needed, or None once another app is registered."""
    others = ClientApp.objects.exclude(slug=ClientApp.PORTAL_SLUG)
    if others.exclude(slug="first-app").exists():
        return None
    return _ensure("first-app", "First app", Platform.OTHER)


@transaction.atomic
def _ensure(slug: str, name: str, platform: Platform) -> ClientApp:
    app, is_new = ClientApp.objects.get_or_create(
        slug=slug, defaults={"name": name, "platform": platform}
    )
    if is_new:
        issue_dsn_key(app=app)
    return app


def issue_dsn_key(*, app: ClientApp, label: str = "default") -> ClientKey:
    return ClientKey.objects.create(app=app, label=label)


def issue_api_key(
    *,
    app: ClientApp,
    scopes: Collection[str],
    label: str = "default",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create an API key and return it with its secret, which cannot be shown later.

    Raises UnknownScope if a scope is unknown or none is given.
    """
    known = [scope.value for scope in Scope if scope.value in scopes]
    if not known or len(known) != len(set(scopes)):
        raise UnknownScope(f"choose from {', '.join(Scope.values)}")
    return ApiKey.issue(app=app, scopes=known, label=label, expires_at=expires_at)


def revoke(key: ClientKey | ApiKey | PersonalToken, *, now: datetime) -> bool:
    """Revoke a key immediately, even in its grace period. Return False if it was revoked before."""
    if key.revoked_at and key.revoked_at <= now:
        return False
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    return True


@transaction.atomic
def rotate_dsn_key(
    key: ClientKey, *, now: datetime, grace: timedelta = ROTATION_GRACE_PERIOD
) -> ClientKey:
    """Return a new key that replaces the old one, which stays valid for the grace period."""
    newer = issue_dsn_key(app=key.app, label=key.label)
    revoke(key, now=now + grace)
    return newer


@transaction.atomic
def rotate_api_key(
    key: ApiKey, *, now: datetime, grace: timedelta = ROTATION_GRACE_PERIOD
) -> tuple[ApiKey, str]:
    """Return a new key with the same scopes and lifetime, together with its secret.

    The old key stays valid for the grace period.
    """
    expires_at = now + (key.expires_at - key.created_at) if key.expires_at else None
    newer = ApiKey.issue(app=key.app, scopes=key.scopes, label=key.label, expires_at=expires_at)
    revoke(key, now=now + grace)
    return newer


def issue_personal_token(
    *, user: User, scopes: Collection[str], label: str, expires_at: datetime, now: datetime
) -> tuple[PersonalToken, str]:
    """Create a token for a person and return it with its secret, which cannot be shown later.

    Raises UnknownScope if a scope is not in PERSONAL_SCOPES or none is given.
    """
    known = [scope.value for scope in PERSONAL_SCOPES if scope.value in scopes]
    if not known or len(known) != len(set(scopes)):
        raise UnknownScope(f"choose from {', '.join(PERSONAL_SCOPES)}")
    secret = PersonalToken.PREFIX + secrets.token_urlsafe(32)
    token = PersonalToken.objects.create(
        user=user,
        label=label,
        prefix=secret[:10],
        key_hash=hash_secret(secret),
        scopes=known,
        created_at=now,
        expires_at=expires_at,
    )
    return token, secret
