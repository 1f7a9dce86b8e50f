import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.utils import timezone

from core.accounts.middleware import loaded_user
from core.clients.auth import APP_IN_META, key_of
from core.lib import addresses, ratelimit
from core.lib.addresses import client_address, network_of
from core.limits import blocked
from core.limits.models import Tier
from core.limits.tiers import limit_of, tier_of
from opsportal import error_pages

AUTH, STAFF = Tier.AUTH.value, Tier.STAFF.value
CACHE_SECONDS = 60.0
MAX_CACHED_CALLERS = 10_000


class Caller(NamedTuple):
    subject: str  # Either "app:…" or "user:…".
    app: str = ""  # The slug of the app.


class KnownCallers:
    """A cache of the owners of keys and sessions that views have verified. Entries expire within CACHE_SECONDS.

    Requests with credentials that are not in the cache are counted by address, so clients cannot evade the limit with
    invented credentials. Callers are not looked up in the database, because limits apply before any work is done.
    """

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        # All entries expire at once, which is cheaper than one expiry time per entry.
        self._expires_at = time.monotonic() + CACHE_SECONDS

    def get(self, credential: str) -> Caller | None:
        caller = self._callers.get(credential)
        if caller is None or time.monotonic() < self._expires_at:
            return caller
        self._callers = {}
        self._expires_at = time.monotonic() + CACHE_SECONDS
        return None

    def add(self, credential: str, caller: Caller) -> None:
        if len(self._callers) >= MAX_CACHED_CALLERS:
            self._callers = {}
        self._callers[credential] = caller


class RateLimitMiddleware:
    """Middleware that rejects requests that exceed a limit before any other work is done.

    `limits.tiers` decides which requests count together; owners set the limits in the admin.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.known = KnownCallers()
        self._security = SecurityMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        tier = tier_of(request.method or "", request.path_info)
        if tier is None:
            return self.get_response(request)
        credential = ""
        authorization = request.META.get("HTTP_AUTHORIZATION")
        caller = self.known.get(authorization) if authorization else None
        if caller is None and (
            authorization
            or "HTTP_COOKIE" in request.META
            or "HTTP_X_API_KEY" in request.META
            or "HTTP_X_OPSPORTAL_KEY" in request.META
        ):
            credential = _credential(request)
            caller = self.known.get(credential)
        if caller is None or tier == AUTH:
            # Fast path: without proxies, client_address() would return the same address.
            address = request.META.get("REMOTE_ADDR") or ""
            if addresses.proxies:
                address = client_address(request.META)
            if ":" in address:
                address = network_of(address)
            key, app = f"{tier}:address:{address}", ""
        else:
            subject, app = caller
            if not app:
                tier = STAFF
            key = f"{tier}:{subject}"
        limit = limit_of(tier, app)
        if limit is None:
            return self.get_response(request)
        count, window = limit
        allowed, remaining, wait = ratelimit.limiter().acquire_raw(key, count, window, 1)
        reset = ceil(time.time() + wait)
        if allowed:
            response = self.get_response(request)
            if credential and caller is None:
                self._remember_caller(request, credential, tier)
        else:
            _, _, subject = key.partition(":")
            blocked.record(tier=tier, subject=subject, path=request.path_info, now=timezone.now())
            response = self._rejection(request, wait)
        response.headers["X-RateLimit-Limit"] = str(count)
        response.headers["X-RateLimit-Remaining"] = str(remaining)
        response.headers["X-RateLimit-Reset"] = str(reset)
        return response

    def _rejection(self, request: HttpRequest, wait: float) -> HttpResponseBase:
        """Return a 429 with the headers that Django's middleware, which does not run here, would add."""
        response = error_pages.too_many_requests(request, wait)
        response.headers["X-Frame-Options"] = settings.X_FRAME_OPTIONS
        return self._security.process_response(request, response)

    def _remember_caller(self, request: HttpRequest, credential: str, tier: str) -> None:
        app = request.META.get(APP_IN_META)
        user = loaded_user(request)
        if app is not None:
            caller = Caller(f"app:{app.slug}", app.slug)
        elif user is not None and user.is_authenticated:
            caller, tier = Caller(f"user:{user.pk}"), STAFF
        else:
            return
        self.known.add(credential, caller)
        # The request has been counted only for its address so far, so count it for the caller too.
        if tier != AUTH and (limit := limit_of(tier, caller.app)):
            ratelimit.acquire(f"{tier}:{caller.subject}", limit.limit, limit.window_seconds)


def _credential(request: HttpRequest) -> str:
    """Return the request's API key or session cookie, or "" if it has neither.

    If the Authorization header ends with the key, return the header, so that it need not be parsed for later requests.
    """
    authorization: str = request.META.get("HTTP_AUTHORIZATION", "")
    key = key_of(request)
    if key:
        return authorization if authorization.endswith(key) else key
    return "" if authorization else request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
