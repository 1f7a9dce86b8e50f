"""Authenticate client apps by their keys, and people by their personal tokens."""

import re
import time

from django.contrib.auth.models import User
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from core.clients.key_use import record_key_use
from core.clients.models import (
    ApiKey,
    ClientApp,
    ClientKey,
    PersonalToken,
    Scope,
    hash_secret,
)
from core.lib import logs

# The middleware finds the authenticated app in request.META under this key.
APP_IN_META = "opsportal.app"
# For this time after a key is revoked, other processes may still accept it in views that cache keys.
CACHE_SECONDS = 5.0
MAX_CACHED_KEYS = 10_000
_SHOWN_LENGTH = 10  # Pages show this many characters of a key.


class NotAuthenticated(Exception):
    """The request has no readable key. The client gets a 401."""


class NotAllowed(Exception):
    """The key or token of the request is not valid for the call. The client gets a 403.

    The key may be unknown, revoked or expired, lack the scope, or belong to an inactive app. The message does not say
    which, so that it reveals nothing about a key. Other refusals, such as a missing permission, have other messages.
    """


def key_of(request: HttpRequest) -> str:
    """Return the key from `Authorization: Bearer …`, `X-API-Key` or `X-Opsportal-Key`, or "" without one of them."""
    meta = request.META  # META is read directly, because request.headers would copy all headers.
    words = meta.get("HTTP_AUTHORIZATION", "").split()
    if len(words) == 2 and words[0].lower() == "bearer":
        key: str = words[1]
        return key
    return meta.get("HTTP_X_API_KEY") or meta.get("HTTP_X_OPSPORTAL_KEY") or ""


def authenticate(request: HttpRequest, scope: Scope, *, use_cache: bool = False) -> ClientApp:
    """Return the app of the request's key. The public key of a DSN is valid for `ingest` and `metrics` only.

    With `use_cache`, a valid key is accepted for another CACHE_SECONDS without a database query. Use it for views that
    are called hundreds of times per second. Raises NotAuthenticated or NotAllowed.
    """
    key = key_of(request)
    if not key:
        raise NotAuthenticated("send your key as `Authorization: Bearer <key>`")
    app = _cached_app(key, scope) if use_cache else app_for_key(key, scope)
    if app is None:
        raise NotAllowed("this key is unknown or revoked, or lacks the required scope")
    logs.add_context(app=app.slug)
    request.META[APP_IN_META] = app
    return app


def authenticate_person(request: HttpRequest, scope: Scope, permission: str) -> User:
    """Return the person whose token the request has. Raises NotAllowed without a valid token, the scope or permission.

    Limits, logs and the audit log then attribute the request to this person, and `request.user` is the person.
    """
    tokens = PersonalToken.objects.live().select_related("user")
    token = tokens.filter(key_hash=hash_secret(key_of(request))).first()
    if token is None or scope not in token.scopes:
        raise NotAllowed("this token is unknown, revoked or expired, or lacks the required scope")
    if permission and not token.user.has_perm(permission):
        raise NotAllowed("your account lacks the permission for this request")
    record_key_use(PersonalToken, token.pk)
    request.user = token.user
    request.loaded_user = token.user  # type: ignore[attr-defined]
    request.personal_token = token  # type: ignore[attr-defined]
    return token.user


def token_of(request: HttpRequest) -> PersonalToken | None:
    """Return the personal token that authenticated the request, or None if an app's key did."""
    return getattr(request, "personal_token", None)


def person_of(request: HttpRequest) -> User | None:
    """Return the person whose token the request has, or None for the key of an app."""
    token = token_of(request)
    return token.user if token else None


def describe_caller(request: HttpRequest, app: ClientApp | None) -> str:
    """Describe the key or token of a request for the audit log, such as "the API key ops_4f… of shop"."""
    token = token_of(request)
    if token is not None:
        return f"the personal token {token}"
    return f"the API key {key_of(request)[:_SHOWN_LENGTH]}… of {app.slug if app else '?'}"


# Maps (key, scope) to (expiry as a time.monotonic() value, app).
_cache: dict[tuple[str, Scope], tuple[float, ClientApp]] = {}


def _cached_app(key: str, scope: Scope) -> ClientApp | None:
    cached = _cache.get((key, scope))
    if cached is not None and time.monotonic() < cached[0]:
        return cached[1]
    app = app_for_key(key, scope)
    if app is not None:
        if len(_cache) >= MAX_CACHED_KEYS:
            _cache.clear()
        _cache[key, scope] = (time.monotonic() + CACHE_SECONDS, app)
    return app


def forget_keys(**_: object) -> None:
    """Clear the key cache of this process, so that changes made by this process apply immediately."""
    _cache.clear()


for _signal in (post_save, post_delete):
    for _model in (ApiKey, ClientKey, ClientApp):
        _signal.connect(forget_keys, _model, dispatch_uid="clients.auth")


def app_for_key(key: str, scope: Scope) -> ClientApp | None:
    """Record that the key was used and return its active app, or return None if the key is not valid for the scope."""
    if re.fullmatch(r"[0-9a-f]{32}", key):
        if scope not in (Scope.INGEST, Scope.METRICS):
            return None
        public = ClientKey.objects.live().select_related("app").filter(public_key=key).first()
        if public is None:
            return None
        record_key_use(ClientKey, public.pk)
        return public.app
    keys = ApiKey.objects.live().select_related("app").filter(key_hash=hash_secret(key))
    # Unlike first(), this does not sort, because there is at most one row.
    found = next(iter(keys[:1]), None)
    if found is None or scope not in found.scopes:
        return None
    record_key_use(ApiKey, found.pk)
    return found.app
