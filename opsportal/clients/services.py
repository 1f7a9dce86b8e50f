"""Registering apps, and giving and taking their keys."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from opsportal.clients.models import ApiKey, ClientApp, ClientKey, Platform, Scope

GRACE = timedelta(hours=24)  # for which a rotated key goes on working


class UnknownScope(ValueError):
    pass


def ensure_portal_app() -> ClientApp:
    """The portal's own entry: its requests, errors and checks feed the same tables as everybody's."""
    return _ensure(ClientApp.PORTAL_SLUG, "opsportal", Platform.PYTHON)


def ensure_first_app() -> ClientApp | None:
    """An app for a newcomer to try things with, made while none but the portal itself is registered."""
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
    *, app: ClientApp, scopes: Collection[str], label: str = "default"
) -> tuple[ApiKey, str]:
    """A new secret key and its secret, which is shown now or never. Raises UnknownScope."""
    known = [scope.value for scope in Scope if scope.value in scopes]
    if not known or len(known) != len(set(scopes)):
        raise UnknownScope(f"choose from {', '.join(Scope.values)}")
    return ApiKey.issue(app=app, scopes=known, label=label)


def revoke(key: ClientKey | ApiKey, *, now: datetime) -> bool:
    """End a key now, also one that a rotation left a grace period. False when it had ended before."""
    if key.revoked_at and key.revoked_at <= now:
        return False
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    return True


@transaction.atomic
def rotate_dsn_key(key: ClientKey, *, now: datetime, grace: timedelta = GRACE) -> ClientKey:
    """A new key in place of the old one, which works on for the grace period."""
    newer = issue_dsn_key(app=key.app, label=key.label)
    revoke(key, now=now + grace)
    return newer


@transaction.atomic
def rotate_api_key(key: ApiKey, *, now: datetime, grace: timedelta = GRACE) -> tuple[ApiKey, str]:
    """A new key with the same scopes and its secret; the old one works on for the grace period."""
    newer = ApiKey.issue(app=key.app, scopes=key.scopes, label=key.label)
    revoke(key, now=now + grace)
    return newer
