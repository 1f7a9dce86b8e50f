"""Turn single check results into a status that does not flap. All functions are pure.

Usually, the status of a component changes only after `fail_after` consecutive worse results, or after `recover_after`
consecutive better results. `next_state` describes the exceptions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    NOT_CONFIGURED = "not_configured"
    UNKNOWN = "unknown"  # No check has run yet.


class Tone(StrEnum):
    """The color in which a status is displayed."""

    NONE = "none"
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


# A dependency that is not configured does not affect the overall status. A dependency without a result degrades it.
_BADNESS = {
    Status.NOT_CONFIGURED: 0,
    Status.HEALTHY: 0,
    Status.UNKNOWN: 1,
    Status.DEGRADED: 1,
    Status.UNHEALTHY: 2,
}


@dataclass(frozen=True)
class Result:
    """The result of one run of one check."""

    status: Status
    at: datetime
    duration_ms: float = 0.0
    message: str = ""
    # True if no host responded at all, which may be due to a failure of the portal's own network.
    is_unreachable: bool = False


@dataclass(frozen=True)
class State:
    """The status of a component, the time since which it has had this status, and the newest result.

    `against` counts the consecutive results that contradict the status. It is positive if they are worse than the
    status, and negative if they are better.
    """

    status: Status
    since: datetime
    result: Result
    against: int = 0


def next_state(
    state: State | None, result: Result, *, fail_after: int = 2, recover_after: int = 2
) -> State:
    """Return the state after `result`.

    The status changes after `fail_after` consecutive worse results or `recover_after` consecutive better results. It
    changes immediately if there is no state yet, if the status is unknown, if the result is equally bad, or if a better
    result is "not configured". A result older than the newest one is ignored, unless the status is unknown.
    """
    if state is None or state.status is Status.UNKNOWN:
        return State(result.status, result.at, result)
    if result.at < state.result.at:
        return state
    old, new = _BADNESS[state.status], _BADNESS[result.status]
    if old == new:
        since = state.since if state.status is result.status else result.at
        return State(result.status, since, result)
    if new > old:
        against = max(state.against, 0) + 1
        is_changed = against >= fail_after
    else:
        against = min(state.against, 0) - 1
        is_changed = -against >= recover_after or result.status is Status.NOT_CONFIGURED
    if is_changed:
        return State(result.status, result.at, result)
    return replace(state, result=result, against=against)


def is_undecided(state: State) -> bool:
    """Return True if the newest result contradicts the status. The check should then be repeated soon."""
    return state.against != 0


def overall_status(states: Iterable[tuple[bool, Status]]) -> Status:
    """Combine pairs of (is_required, status) into one status.

    Only a required component can make the overall status unhealthy.
    """
    worst = Status.HEALTHY
    for is_required, status in states:
        if is_required and status is Status.UNHEALTHY:
            return Status.UNHEALTHY
        if _BADNESS[status]:
            worst = Status.DEGRADED
    return worst
