"""Which tier a call belongs to, and what its limit is right now."""

import logging
import re
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from opsportal.lib import background
from opsportal.limits.models import RateLimitTier, Tier

log = logging.getLogger(__name__)


class Limit(NamedTuple):
    limit: int
    window_seconds: int


# What staff find in the admin at first, and what holds until the table has been read.
DEFAULTS: dict[str, Limit] = {
    Tier.AUTH: Limit(20, 60),
    Tier.PAYMENT: Limit(20, 60),
    Tier.INGEST: Limit(6_000, 60),
    Tier.WRITE: Limit(600, 60),
    Tier.READ: Limit(200, 60),
    # The health page alone asks some 40 times a minute, and people keep several open: never lock an owner out.
    Tier.STAFF: Limit(1_200, 60),
}

# Health and metrics are for machines that ask all day; webhooks come from many addresses and are signed; errors have
# their app's quota, which a limit by address would defeat for apps behind one proxy.
_EXEMPT = re.compile(
    rf"/(?:{settings.STATIC_URL.strip('/')}/|(?:livez|readyz|health|metrics)/?$|favicon\.ico$"
    r"|(?:api/v1/)?(?:[a-z]+/)?webhooks?/"
    r"|/*api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)\b"
    r"|/*api/+v1/+errors/*$|/*tunnel/*$)"
)
_INGEST = re.compile(r"/api/v1/(?:signals|heartbeats)/")
_AUTH = re.compile(r"/admin/(?:login|password_reset|password_change|reset|two-factor)/")
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


@lru_cache(maxsize=2048)
def tier_of(method: str, path: str) -> str | None:
    """The tier's name, or None for what is not limited. Who is signed in is the caller's to know."""
    if _EXEMPT.match(path):
        return None
    if _INGEST.match(path):
        return Tier.INGEST.value
    if method in _READING:
        return Tier.READ.value
    if path.startswith("/api/"):
        if path.startswith("/api/v1/payments"):
            return Tier.PAYMENT.value
        return Tier.WRITE.value
    if _AUTH.match(path):
        return Tier.AUTH.value
    return Tier.READ.value


# Replaced as a whole, so that readers need no lock.
_limits: dict[tuple[str, str], Limit | None] = {
    (tier, ""): limit for tier, limit in DEFAULTS.items()
}


def limit_of(tier: str, app: str = "") -> Limit | None:
    """The limit of a tier for an app (by slug) or for everybody; None when it is switched off."""
    limits = _limits
    if app and (tier, app) in limits:
        return limits[tier, app]
    return limits[tier, ""]


@background.chore("rate limits: read", seconds=5)
def read_limits() -> None:
    """From the database; so a change in the admin holds in every process within seconds."""
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


def listen() -> None:
    """A change made in this process holds in it at once."""

    def changed(**_: object) -> None:
        transaction.on_commit(read_limits)

    for signal in (post_save, post_delete):
        signal.connect(changed, RateLimitTier, weak=False, dispatch_uid="limits")
