"""Who is calling: `authenticate(request, scope)`."""

import re

from django.http import HttpRequest

from opsportal.clients.key_use import note_used
from opsportal.clients.models import ApiKey, ClientApp, ClientKey, Scope, hash_secret
from opsportal.lib import logs

APP_IN_META = "opsportal.app"  # whose request it turned out to be, for the middleware
_BEARER = re.compile(r"\s*bearer\s+(\S+)\s*", re.IGNORECASE)


class NotAuthenticated(Exception):
    """No key, or one that cannot be read: 401."""


class NotAllowed(Exception):
    """A key that is unknown, revoked, of an inactive app, or without the scope: 403, one text for all."""


def key_of(request: HttpRequest) -> str:
    """The key in `Authorization: Bearer …`, `X-API-Key` or `X-Opsportal-Key`, or ""."""
    bearer = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return (
        bearer[1]
        if bearer
        else request.headers.get("X-API-Key") or request.headers.get("X-Opsportal-Key") or ""
    )


def authenticate(request: HttpRequest, scope: Scope) -> ClientApp:
    """The app whose key the request carries. A DSN's public key serves for `ingest` and `metrics` only.

    Raises NotAuthenticated or NotAllowed.
    """
    key = key_of(request)
    if not key:
        raise NotAuthenticated("send your key as `Authorization: Bearer <key>`")
    app = app_for_key(key, scope)
    if app is None:
        raise NotAllowed("this key is unknown, revoked, or may not do this")
    logs.add_context(app=app.slug)
    request.META[APP_IN_META] = app
    return app


def app_for_key(key: str, scope: Scope) -> ClientApp | None:
    if re.fullmatch(r"[0-9a-f]{32}", key):
        if scope not in (Scope.INGEST, Scope.METRICS):
            return None
        public = ClientKey.objects.live().select_related("app").filter(public_key=key).first()
        if public is None:
            return None
        note_used(ClientKey, public.pk)
        return public.app
    found = ApiKey.objects.live().select_related("app").filter(key_hash=hash_secret(key)).first()
    if found is None or scope not in found.scopes:
        return None
    note_used(ApiKey, found.pk)
    return found.app
