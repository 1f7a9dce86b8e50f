"""Registering apps."""

from django.db import transaction

from opsportal.clients.models import ClientApp, ClientKey, Platform


@transaction.atomic
def ensure_portal_app() -> ClientApp:
    """The portal's own entry: its requests, errors and checks feed the same tables as everybody's."""
    return _ensure(ClientApp.PORTAL_SLUG, "opsportal", Platform.PYTHON)


@transaction.atomic
def ensure_first_app() -> ClientApp | None:
    """An app for a newcomer to try things with, made while none but the portal itself is registered."""
    others = ClientApp.objects.exclude(slug=ClientApp.PORTAL_SLUG)
    if others.exclude(slug="first-app").exists():
        return None
    return _ensure("first-app", "First app", Platform.OTHER)


def _ensure(slug: str, name: str, platform: Platform) -> ClientApp:
    app, _ = ClientApp.objects.get_or_create(
        slug=slug, defaults={"name": name, "platform": platform}
    )
    if not app.keys.exists():
        ClientKey.objects.create(app=app)
    return app
