"""The registry of health checks: `health_checks.py` of an app says whether something it needs is working."""

from collections.abc import Callable
from dataclasses import dataclass

from opsportal.lib.registry import Registry


class NotConfigured(Exception):
    """The dependency is not in use here: shown as such, and not a failure."""


class Degraded(Exception):
    """It works, but not well; the text says how."""


# Returns a short message for people (or None), or raises: NotConfigured, Degraded, anything else is a failure.
CheckFunction = Callable[[], str | None]


@dataclass(frozen=True)
class Check:
    name: str
    summary: str
    run: CheckFunction
    critical: bool  # required: its failure makes the portal unhealthy; otherwise degraded
    timeout: float  # seconds
    fail_after: int = 2  # failures in a row before the verdict turns
    recover_after: int = 2  # successes in a row before it turns back


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
    def register(function: CheckFunction) -> CheckFunction:
        registry.add(
            name,
            Check(name, summary or name, function, critical, timeout, fail_after, recover_after),
        )
        return function

    return register
