"""Determine the tier of a request and its current limit."""

import logging
import re
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from core.lib import background
from core.limits.models import RateLimitTier, Tier

log = logging.getLogger(__name__)


class Limit(NamedTuple):
    limit: int
    window_seconds: int


# These limits apply until the table has been read, and to tiers without a row. Migrations create rows with the same
# limits.
DEFAULTS: dict[str, Limit] = {
    Tier.AUTH: Limit(20, 60),
    # All buyers of a shop share its API key, so this limit per key is high: it stops only a client with a defect.
    Tier.PAYMENT: Limit(1_200, 60),
    # This limit per buyer stops attackers who test stolen cards; see core.limits.buyers.
    Tier.BUYER: Limit(20, 60),
    Tier.INGEST: Limit(6_000, 60),
    Tier.WRITE: Limit(600, 60),
    Tier.READ: Limit(200, 60),
    # The health page sends about 40 requests per minute, and users keep several pages open. The limit is high, because
    # it must never lock an owner out.
    Tier.STAFF: Limit(1_200, 60),
}

# Health and metrics are polled continuously. Webhooks are signed and come from many addresses. Error reports count
# against the quota of their app, because a limit per address would reject apps behind a common proxy too early.
_EXEMPT = re.compile(
    rf"/(?:{settings.STATIC_URL.strip('/')}/|(?:livez|readyz|health|metrics)/?$|favicon\.ico$"
    r"|(?:api/v1/)?(?:[a-z]+/)?webhooks?/"
    r"|/*api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)\b"
    r"|/*api/+v1/+errors/*$|/*tunnel/*$)"
)
# All jobs of a company may ping from one address in the same minute, and a rejected ping would look like a missed run.
_INGEST = re.compile(r"/api/v1/(?:signals|heartbeats)/|/ping/|/v1/(?:traces|logs|metrics)$")
_AUTH = re.compile(r"/admin/(?:login|sso|password_reset|password_change|reset|two-factor)/")


def is_sign_in(path: str) -> bool:
    """Return True for pages where users sign in or change a password or a second factor."""
    return _AUTH.match(path) is not None


_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


@lru_cache(maxsize=2048)
def tier_of(method: str, path: str) -> str | None:
    """Return the tier of a request, or None if it has no limit. Callers use Tier.STAFF instead for signed-in users."""
    if _EXEMPT.match(path):
        return None
    if _INGEST.match(path):
        return Tier.INGEST.value
    if method in _SAFE_METHODS:
        return Tier.READ.value
    if path.startswith("/api/"):
        if path.startswith(("/api/v1/payments", "/api/v1/reservations")):
            return Tier.PAYMENT.value
        return Tier.WRITE.value
    if is_sign_in(path):
        return Tier.AUTH.value
    return Tier.READ.value


# This dict is replaced as a whole and never changed, so readers need no lock.
_limits: dict[tuple[str, str], Limit | None] = {
    (tier, ""): limit for tier, limit in DEFAULTS.items()
}


def limit_of(tier: str, app: str = "") -> Limit | None:
    """Return the tier's limit for an app (by slug), or its default limit. Return None if this limit is disabled."""
    limits = _limits
    if app and (tier, app) in limits:
        return limits[tier, app]
    return limits[tier, ""]


@background.chore("rate limits: reload", seconds=5)
def read_limits() -> None:
    """Load the limits from the database, so that changes in the admin apply in all processes within seconds."""
    global _limits
    rows = RateLimitTier.objects.values_list(
        "tier", "app__slug", "limit", "window_seconds", "is_enabled"
    )
    limits: dict[tuple[str, str], Limit | None] = {
        (tier, ""): limit for tier, limit in DEFAULTS.items()
    }
    for tier, app, limit, window, is_enabled in rows:
        limits[tier, app or ""] = Limit(limit, window) if is_enabled else None
    _limits = limits


def replace_limits(limit: Limit) -> None:
    """Apply one limit to all requests of this process until the limits are read again. Only benchmarks call this."""
    global _limits
    _limits = {(tier, ""): limit for tier in DEFAULTS}


def connect_signals() -> None:
    """Connect the signals that apply changes made in this process immediately."""

    def reload(**_: object) -> None:
        transaction.on_commit(read_limits)

    for signal in (post_save, post_delete):
        signal.connect(reload, RateLimitTier, weak=False, dispatch_uid="limits")
