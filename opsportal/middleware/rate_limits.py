import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.utils import timezone

from opsportal import error_pages
from opsportal.clients.auth import APP_IN_META, key_of
from opsportal.lib import addresses, ratelimit
from opsportal.lib.addresses import client_address, network_of
from opsportal.limits import blocked
from opsportal.limits.models import Tier
from opsportal.limits.tiers import limit_of, tier_of

AUTH, STAFF = Tier.AUTH.value, Tier.STAFF.value
KNOWN_FOR = 60.0
MOST_KNOWN = 10_000


class Caller(NamedTuple):
    subject: str  # "app:…" or "user:…"
    app: str = ""  # its slug


class KnownCallers:
    """Whose a key or session is, remembered for a minute at most once a view has verified it.

    Nobody is looked up before the limit is: whoever shows a key that is not known here counts by address, so that
    rotating invented keys lifts no limit.
    """

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        # When all are forgotten: cheaper than an end for each, which each call would have to read.
        self._until = time.monotonic() + KNOWN_FOR

    def get(self, credential: str) -> Caller | None:
        caller = self._callers.get(credential)
        if caller is None or time.monotonic() < self._until:
            return caller
        self._callers = {}
        self._until = time.monotonic() + KNOWN_FOR
        return None

    def remember(self, credential: str, caller: Caller) -> None:
        if len(self._callers) >= MOST_KNOWN:
            self._callers = {}
        self._callers[credential] = caller


class RateLimitMiddleware:
    """Refuses before any work is done; `limits.tiers` says which calls count together, the admin how many are allowed."""

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
            # With no proxy before us client_address says the same, at the price of a call.
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
                self._learn(request, credential, tier)
        else:
            _, _, subject = key.partition(":")
            blocked.record(tier=tier, subject=subject, path=request.path_info, now=timezone.now())
            response = self._refusal(request, wait)
        # What headers[name] = value comes to for digits, without asking whether they are ASCII (a third of all this costs).
        store = response.headers._store
        store["x-ratelimit-limit"] = ("X-RateLimit-Limit", str(count))
        store["x-ratelimit-remaining"] = ("X-RateLimit-Remaining", str(remaining))
        store["x-ratelimit-reset"] = ("X-RateLimit-Reset", str(reset))
        return response

    def _refusal(self, request: HttpRequest, wait: float) -> HttpResponseBase:
        """With the headers that Django's middleware, which it never comes to, puts on every other answer."""
        response = error_pages.too_many_requests(request, wait)
        response.headers["X-Frame-Options"] = settings.X_FRAME_OPTIONS
        return self._security.process_response(request, response)

    def _learn(self, request: HttpRequest, credential: str, tier: str) -> None:
        app = request.META.get(APP_IN_META)
        user = getattr(request, "_cached_user", None)
        if app is not None:
            caller = Caller(f"app:{app.slug}", app.slug)
        elif user is not None and user.is_authenticated:
            caller, tier = Caller(f"user:{user.pk}"), STAFF
        else:
            return
        self.known.remember(credential, caller)
        # This call was counted by address; it is theirs, and counts there too: a limit is a limit.
        if tier != AUTH and (limit := limit_of(tier, caller.app)):
            ratelimit.acquire(f"{tier}:{caller.subject}", limit.limit, limit.window_seconds)


def _credential(request: HttpRequest) -> str:
    """What the request shows to say who it is: the Authorization header if it ends in an API key, so that it need not be
    taken apart the next time, or the key alone, or a session cookie."""
    authorization: str = request.META.get("HTTP_AUTHORIZATION", "")
    key = key_of(request)
    if key:
        return authorization if authorization.endswith(key) else key
    return "" if authorization else request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
