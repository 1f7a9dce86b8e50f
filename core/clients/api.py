"""Provide `@api(Scope.X, "POST")`, which rejects calls with a wrong method or key with a problem document."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from core.clients.auth import (
    NotAllowed,
    NotAuthenticated,
    authenticate,
    authenticate_person,
    key_of,
)
from core.clients.models import ClientApp, PersonalToken, Scope
from core.lib import app_access
from core.lib.http import BadRequest, problem
from core.lib.scrub import has_email_address

P = ParamSpec("P")
ApiView = Callable[Concatenate[HttpRequest, Any, P], HttpResponseBase]
APP_HEADER = "X-Opsportal-App"


def api(
    scope: Scope,
    *methods: str,
    permission: str | None = None,
    needs_app: bool = True,
    cache_keys: bool = False,
) -> Callable[[ApiView[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """Decorate a view that takes the calling app as its second argument. For `cache_keys`, see authenticate().

    If `permission` is given, people who have it may call the view with a personal token; "" admits everyone with a
    token. A person must name an app in the request unless the person sees exactly one. With `needs_app=False`, the view
    gets None instead of an app if a person calls it.
    """

    def decorate(view: ApiView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @csrf_exempt
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                return problem(
                    405, f"use {' or '.join(methods)}", headers={"Allow": ", ".join(methods)}
                )
            try:
                if not key_of(request).startswith(PersonalToken.PREFIX):
                    app = authenticate(request, scope, use_cache=cache_keys)
                    with app_access.reading_as(None):
                        return view(request, app, *args, **kwargs)
                if permission is None:
                    raise NotAllowed("this address accepts only keys of apps, not personal tokens")
                user = authenticate_person(request, scope, permission)
                with app_access.reading_as(lambda: user):
                    named = _named_app(request) if needs_app else None
                    return view(request, named, *args, **kwargs)
            except NotAuthenticated as refusal:
                return problem(401, str(refusal), headers={"WWW-Authenticate": "Bearer"})
            except NotAllowed as refusal:
                return problem(403, str(refusal))
            except BadRequest as refusal:
                return problem(refusal.status, refusal.detail)

        return wrapper

    return decorate


def _named_app(request: HttpRequest) -> ClientApp:
    """Return the active app that a person names with `?app=` or the header, or the only one that the person sees.

    Raises BadRequest if no app is named and there is not exactly one, and NotAllowed if the named app is not visible.
    """
    apps = app_access.limit(ClientApp.objects.filter(is_active=True))
    name = request.headers.get(APP_HEADER) or request.GET.get("app", "")
    if not name:
        seen = list(apps[:2])
        if len(seen) == 1:
            return seen[0]
        raise BadRequest(f"name the app with `?app=<identifier>` or the header {APP_HEADER}", 400)
    found = apps.filter(slug=name.replace("\0", "")).first()
    if found is None:
        raise NotAllowed("there is no such app, or you are not allowed to see it")
    return found


def idempotency_key_of(request: HttpRequest) -> str:
    """Return the key from `Idempotency-Key` or `X-Idempotency-Key`, or "" if neither header is sent.

    Raises BadRequest if the key is invalid, or if the headers differ.
    """
    keys = [
        _unquoted(value)
        for name in ("Idempotency-Key", "X-Idempotency-Key")
        if (value := request.headers.get(name)) is not None
    ]
    if len(set(keys)) > 1:
        raise BadRequest("Idempotency-Key and X-Idempotency-Key differ; send only one of them")
    if not keys:
        return ""
    key = keys[0]
    if not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise BadRequest("an idempotency key must have 1 to 255 printable ASCII characters")
    if has_email_address(key):
        raise BadRequest("an idempotency key must not contain an e-mail address")
    return key


def _unquoted(value: str) -> str:
    """Return a key without the quotes of an RFC 8941 string, because clients may send it with or without them."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
