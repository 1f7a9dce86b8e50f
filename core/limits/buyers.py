"""Limit the payments of one buyer, because all buyers of an app share its API key."""

import hashlib
import hmac

from django.conf import settings
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib import ratelimit
from core.lib.addresses import network_of
from core.limits import blocked
from core.limits.models import Tier
from core.limits.tiers import limit_of


def seconds_to_wait(*, app: ClientApp, customer: str, client_address: str, path: str) -> float:
    """Count a request of this buyer. Return the seconds to wait if there were too many, else 0.

    The customer id and the client address have separate counts, and only their keyed hashes are kept. A request with
    neither counts only against the limit of its API key.
    """
    limit = limit_of(Tier.BUYER, app.slug)
    if limit is None:
        return 0.0
    address = client_address and network_of(client_address)
    for kind, value in (("customer", customer.strip().lower()), ("address", address)):
        if not value:
            continue
        subject = f"buyer:{_hashed(f'{app.slug} {kind} {value}')}"
        decision = ratelimit.acquire(f"{Tier.BUYER}:{subject}", limit.limit, limit.window_seconds)
        if not decision.allowed:
            blocked.record(tier=Tier.BUYER, subject=subject, path=path, now=timezone.now())
            return decision.retry_after
    return 0.0


def _hashed(value: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:24]
