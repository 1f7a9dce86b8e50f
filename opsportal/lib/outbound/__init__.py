"""The one way out: every HTTP call the portal makes goes through a `Client` of this package.

    slack = outbound.Client("slack", timeout=5)
    response = slack.request("POST", url, json=blocks, guard=True)

A call ends within its `timeout`, whatever the other side does: attempts, waits, name lookup and a body that drips
included. Calls that may be repeated are, with jitter. A dependency that keeps failing is left alone for a while (its
circuit breaker). `guard=True` is for addresses that people type in: they cannot lead into our own network.
"""

from opsportal.lib.outbound.breaker import BreakerState, breaker_states
from opsportal.lib.outbound.client import Client
from opsportal.lib.outbound.exceptions import ForbiddenAddress, OutboundError, TooLarge, Unavailable
from opsportal.lib.outbound.guard import check_public_url

__all__ = [
    "BreakerState",
    "Client",
    "ForbiddenAddress",
    "OutboundError",
    "TooLarge",
    "Unavailable",
    "breaker_states",
    "check_public_url",
]
