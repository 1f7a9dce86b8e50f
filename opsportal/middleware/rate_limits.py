import hashlib
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from opsportal import error_pages
from opsportal.clients.auth import APP_IN_META, key_of
from opsportal.lib import addresses, ratelimit
from opsportal.limits import blocked
from opsportal.limits.models import Tier
from opsportal.limits.tiers import limit_of, tier_of

AUTH, STAFF = Tier.AUTH.value, Tier.STAFF.value
KNOWN_FOR = 60.0
MOST_KNOWN = 10_000


class Caller(NamedTuple):
    subject: str  # "app:…", "user:…" or "address:…"
    app: str = ""  # its slug


@lru_cache(maxsize=4096)
def _by_address(address: str) -> Caller:
    return Caller("address:" + addresses.network_of(address))


class KnownCallers:
    """Whose a key or session is, remembered for a minute once a view has verified it.

    Nobody is looked up before the limit is: whoever shows a key that is not known here counts by address, so that
    rotating invented keys lifts no limit.
    """

    def __init__(self) -> None:
        self._callers: dict[bytes, tuple[Caller, float]] = {}
        self._lock = threading.Lock()

    def get(self, credential: str) -> Caller | None:
        found = self._callers.get(_digest(credential))
        return found[0] if found and time.monotonic() < found[1] else None

    def remember(self, credential: str, caller: Caller) -> None:
        with self._lock:
            if len(self._callers) >= MOST_KNOWN:
                self._callers.clear()
            self._callers[_digest(credential)] = (caller, time.monotonic() + KNOWN_FOR)


def _digest(credential: str) -> bytes:
    return hashlib.blake2b(credential.encode("utf-8", "replace"), digest_size=16).digest()


class RateLimitMiddleware:
    """Refuses before any work is done; `limits.tiers` says which calls count together, the admin how many are allowed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.known = KnownCallers()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        tier = tier_of(request.method or "", request.path_info)
        if tier is None:
            return self.get_response(request)
        credential = _credential(request)
        caller = self.known.get(credential) if credential else None
        is_known = caller is not None
        if caller is None or tier == AUTH:
            caller = _by_address(addresses.client_address(request.META))
        elif caller.subject.startswith("user:"):
            tier = STAFF
        limit = limit_of(tier, caller.app)
        if limit is None:
            return self.get_response(request)
        verdict = ratelimit.hit(f"{tier}:{caller.subject}", limit.limit, limit.window_seconds)
        if verdict.allowed:
            response = self.get_response(request)
            if credential and not is_known:
                self._learn(request, credential, tier)
        else:
            blocked.record(
                tier=tier, subject=caller.subject, path=request.path_info, now=timezone.now()
            )
            response = error_pages.too_many_requests(request, verdict.retry_after)
        # What headers[name] = value comes to for digits, without asking whether they are ASCII (a third of all this costs).
        store = response.headers._store
        store["x-ratelimit-limit"] = ("X-RateLimit-Limit", str(limit.limit))
        store["x-ratelimit-remaining"] = ("X-RateLimit-Remaining", str(verdict.remaining))
        store["x-ratelimit-reset"] = ("X-RateLimit-Reset", str(math.ceil(verdict.reset_at)))
        return response

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
            ratelimit.hit(f"{tier}:{caller.subject}", limit.limit, limit.window_seconds)


def _credential(request: HttpRequest) -> str:
    """What the request shows to say who it is: an API key or a session cookie."""
    meta = request.META
    if "HTTP_AUTHORIZATION" in meta or "HTTP_X_API_KEY" in meta or "HTTP_X_OPSPORTAL_KEY" in meta:
        return key_of(request)
    if "HTTP_COOKIE" in meta:
        return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return ""
