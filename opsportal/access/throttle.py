"""How often somebody may try to sign in, so that guessing is hopeless and nobody can lock an owner out.

Attempts on one name are counted for each client address, and over all addresses together, which is what stops a
botnet. The second count would let anybody lock an owner out by guessing wrong on purpose; so a browser that has
signed in before carries a signed cookie and is counted by itself, not with the crowd. (By address alone the `auth` tier
of the rate limits counts, before this.)
"""

import secrets
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_ratelimit.core import get_usage
from django_ratelimit.exceptions import Ratelimited

from opsportal.lib.addresses import client_address, network_of

PER_ADDRESS = "10/10m"
PER_NAME = "100/h"
PER_KNOWN_BROWSER = "10/10m"
RESETS_PER_ADDRESS = "5/h"
RESETS_PER_NAME = "3/h"

COOKIE = "known_browser"
COOKIE_AGE = 180 * 24 * 3600
_SALT = "access.known_browser"


def attempt(request: HttpRequest, username: str) -> None:
    """Count one attempt to sign in as somebody. Raises Ratelimited when there were too many."""
    name = username.strip().casefold()[:150]
    browser = known_browser(request, name)
    if browser:
        _count(request, "login.browser", f"{browser}:{name}", PER_KNOWN_BROWSER)
        return
    _count(request, "login.address", f"{network(request)}:{name}", PER_ADDRESS)
    _count(request, "login.name", name, PER_NAME)


def reset_asked(request: HttpRequest, email: str) -> None:
    """Count one wish for a password reset. Raises Ratelimited when there were too many."""
    _count(request, "reset.address", network(request), RESETS_PER_ADDRESS)
    _count(request, "reset.email", email.strip().casefold()[:254], RESETS_PER_NAME)


def network(request: HttpRequest) -> str:
    return network_of(client_address(request.META))


def _count(request: HttpRequest, group: str, value: str, rate: str) -> None:
    key: Callable[[str, HttpRequest], str] = lambda _group, _request: value  # noqa: E731
    usage = get_usage(request, group=f"access.{group}", key=key, rate=rate, increment=True)
    if usage and usage["should_limit"]:
        raise Ratelimited


def known_browser(request: HttpRequest, name: str) -> str:
    """The browser's own random id, if it has signed in with this name before, or ""."""
    try:
        content = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_AGE)
        browser, names = str(content["id"]), content["names"]
    except (signing.BadSignature, KeyError, TypeError):
        return ""
    return browser if name in names else ""


def remember_browser(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """After a complete sign-in only: the cookie says that this browser belongs to somebody who may."""
    name = user.get_username().strip().casefold()
    try:
        content = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_AGE)
        browser, names = str(content["id"]), [str(other) for other in content["names"]]
    except (signing.BadSignature, KeyError, TypeError):
        browser, names = secrets.token_hex(8), []
    names = [name, *(other for other in names if other != name)][:5]
    response.set_cookie(
        COOKIE,
        signing.dumps({"id": browser, "names": names}, salt=_SALT),
        max_age=COOKIE_AGE,
        path="/admin/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
