"""The registry of health checks. An app registers its checks in its `health_checks.py`."""

from collections.abc import Callable
from dataclasses import dataclass

from core.lib.registry import Registry


class NotConfigured(Exception):
    """The dependency is not used in this installation. It is shown as such and does not count as a failure."""


class Degraded(Exception):
    """The dependency works, but poorly. The message is shown to staff."""


# Returns a short message for staff (or None). Raises NotConfigured or Degraded; any other exception is a failure.
CheckFunction = Callable[[], str | None]


@dataclass(frozen=True)
class Check:
    name: str
    summary: str
    run: CheckFunction
    critical: bool  # a failure makes the whole portal unhealthy, not just degraded
    timeout: float  # seconds
    fail_after: int = 2  # consecutive failures before it counts as down
    recover_after: int = 2  # consecutive successes before it counts as up


registry: Registry[Check] = Registry("health_checks")


def health_check(
    name: str,
    *,
    summary: str = "",
    critical: bool = False,
    timeout: float = 3.0,
    fail_after: int = 2,
    recover_after: int = 2,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a health check; `timeout` is in seconds."""

    def register(function: CheckFunction) -> CheckFunction:
        registry.add(
            name,
            Check(name, summary or name, function, critical, timeout, fail_after, recover_after),
        )
        return function

    return register
