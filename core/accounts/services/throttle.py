"""Limit sign-in attempts, so that attackers can neither guess passwords nor lock an owner out.

Attempts for one name are counted per client address and, against botnets, for all addresses together. With the total
alone, anyone could lock an owner out by failing on purpose. Therefore, a browser that has signed in before has a signed
cookie and is counted separately. The `auth` tier of the rate limits has already counted each request per client address
before its attempt is counted here.
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

from core.lib.addresses import client_address, network_of

PER_ADDRESS = "10/10m"
PER_NAME = "100/h"
PER_KNOWN_BROWSER = "10/10m"
RESETS_PER_ADDRESS = "5/h"
RESETS_PER_NAME = "3/h"

COOKIE = "known_browser"
COOKIE_AGE = 180 * 24 * 3600
_SALT = "access.known_browser"


def count_sign_in(request: HttpRequest, username: str) -> None:
    """Count an attempt to sign in as `username`. Raises Ratelimited if there were too many."""
    name = username.strip().casefold()[:150]
    browser = known_browser(request, name)
    if browser:
        _count(request, "login.browser", f"{browser}:{name}", PER_KNOWN_BROWSER)
        return
    _count(request, "login.address", f"{network(request)}:{name}", PER_ADDRESS)
    _count(request, "login.name", name, PER_NAME)


def count_reset_request(request: HttpRequest, email: str) -> None:
    """Count a request for a password reset. Raises Ratelimited if there were too many."""
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
    """Return the random id of a browser where the user has signed in before, or "" for any other browser."""
    try:
        content = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_AGE)
        browser, names = str(content["id"]), content["names"]
    except (signing.BadSignature, KeyError, TypeError):
        return ""
    return browser if name in names else ""


def remember_browser(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Set the cookie of a known browser. This function must be called only after a complete sign-in."""
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
