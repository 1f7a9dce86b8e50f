"""Who is calling: `authenticate(request, scope)`."""

import re
import time

from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from opsportal.clients.key_use import note_used
from opsportal.clients.models import ApiKey, ClientApp, ClientKey, Scope, hash_secret
from opsportal.lib import logs

APP_IN_META = "opsportal.app"  # whose request it turned out to be, for the middleware
TRUSTED_FOR = (
    5.0  # seconds until a revoked key is turned away everywhere, where keys are remembered
)
MOST_REMEMBERED = 10_000


class NotAuthenticated(Exception):
    """No key, or one that cannot be read: 401."""


class NotAllowed(Exception):
    """A key that is unknown, revoked, of an inactive app, or without the scope: 403, one text for all."""


def key_of(request: HttpRequest) -> str:
    """The key in `Authorization: Bearer …`, `X-API-Key` or `X-Opsportal-Key`, or ""."""
    meta = request.META  # request.headers is a copy of all of them, made for each request that asks
    words = meta.get("HTTP_AUTHORIZATION", "").split()
    if len(words) == 2 and words[0].lower() == "bearer":
        key: str = words[1]
        return key
    return meta.get("HTTP_X_API_KEY") or meta.get("HTTP_X_OPSPORTAL_KEY") or ""


def authenticate(request: HttpRequest, scope: Scope, *, remembered: bool = False) -> ClientApp:
    """The app whose key the request carries. A DSN's public key serves for `ingest` and `metrics` only.

    With `remembered` a key that was good is so for 5 s more, without asking the database: for addresses that are
    called hundreds of times a second. Raises NotAuthenticated or NotAllowed.
    """
    key = key_of(request)
    if not key:
        raise NotAuthenticated("send your key as `Authorization: Bearer <key>`")
    app = _remembered_app(key, scope) if remembered else app_for_key(key, scope)
    if app is None:
        raise NotAllowed("this key is unknown, revoked, or may not do this")
    logs.add_context(app=app.slug)
    request.META[APP_IN_META] = app
    return app


_remembered: dict[tuple[str, Scope], tuple[float, ClientApp]] = {}  # until when


def _remembered_app(key: str, scope: Scope) -> ClientApp | None:
    known = _remembered.get((key, scope))
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    app = app_for_key(key, scope)
    if app is not None:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        _remembered[key, scope] = (time.monotonic() + TRUSTED_FOR, app)
    return app


def forget_keys(**_: object) -> None:
    """What is changed in this process holds in it at once."""
    _remembered.clear()


for _signal in (post_save, post_delete):
    for _model in (ApiKey, ClientApp):
        _signal.connect(forget_keys, _model, dispatch_uid="clients.auth")


def app_for_key(key: str, scope: Scope) -> ClientApp | None:
    if re.fullmatch(r"[0-9a-f]{32}", key):
        if scope not in (Scope.INGEST, Scope.METRICS):
            return None
        public = ClientKey.objects.live().select_related("app").filter(public_key=key).first()
        if public is None:
            return None
        note_used(ClientKey, public.pk)
        return public.app
    keys = ApiKey.objects.live().select_related("app").filter(key_hash=hash_secret(key))
    found = next(iter(keys[:1]), None)  # there is one at most: no order to ask for
    if found is None or scope not in found.scopes:
        return None
    note_used(ApiKey, found.pk)
    return found.app
