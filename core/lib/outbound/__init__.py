"""Make the outbound HTTP calls of the portal, except those of libraries such as Stripe's.

    slack = outbound.Client("slack", timeout=5)
    response = slack.request("POST", url, json=blocks, guard=True)

A call ends within its `timeout`, which includes all attempts, waits, name lookups and slow bodies. Idempotent calls are
retried with jitter. A circuit breaker stops calls to a dependency that keeps failing. Use `guard=True` for URLs that
users enter, so that these calls cannot reach the internal network.
"""

from core.lib.outbound.breaker import BreakerState, breaker_states
from core.lib.outbound.client import Client
from core.lib.outbound.exceptions import ForbiddenAddress, OutboundError, TooLarge, Unavailable
from core.lib.outbound.guard import check_public_url, remember_lookups

__all__ = [
    "BreakerState",
    "Client",
    "ForbiddenAddress",
    "OutboundError",
    "TooLarge",
    "Unavailable",
    "breaker_states",
    "check_public_url",
    "remember_lookups",
]
