"""From results to a verdict, without flapping. Pure.

A component's status turns only after `fail_after` results in a row say worse, or `recover_after` say better.
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
    UNKNOWN = "unknown"  # never answered yet


# Not configured is not failing; unknown is nothing to be proud of.
_LEVEL = {
    Status.NOT_CONFIGURED: 0,
    Status.HEALTHY: 0,
    Status.UNKNOWN: 1,
    Status.DEGRADED: 1,
    Status.UNHEALTHY: 2,
}


@dataclass(frozen=True)
class Result:
    """One answer of one check."""

    status: Status
    at: datetime
    duration_ms: float = 0.0
    message: str = ""
    unreachable: bool = False  # no answer at all, as when our own network is down


@dataclass(frozen=True)
class State:
    """What we hold of a component: its verdict, since when, and how many results in a row speak against it."""

    status: Status
    since: datetime
    result: Result
    against: int = 0  # positive: so many in a row were worse; negative: better


def after(
    state: State | None, result: Result, *, fail_after: int = 2, recover_after: int = 2
) -> State:
    """The state once `result` is known. The first result ever is believed as it is."""
    if state is None or state.status is Status.UNKNOWN:
        return State(result.status, result.at, result)
    if result.at < state.result.at:
        return state
    old, new = _LEVEL[state.status], _LEVEL[result.status]
    if old == new:
        since = state.since if state.status is result.status else result.at
        return State(result.status, since, result)
    if new > old:
        against = max(state.against, 0) + 1
        turned = against >= fail_after
    else:
        against = min(state.against, 0) - 1
        turned = -against >= recover_after or result.status is Status.NOT_CONFIGURED
    if turned:
        return State(result.status, result.at, result)
    return replace(state, result=result, against=against)


def is_undecided(state: State) -> bool:
    """Whether the last result speaks against the verdict: worth asking again soon."""
    return state.against != 0


def overall(states: Iterable[tuple[bool, Status]]) -> Status:
    """One word for everything, from (required, status) pairs: only what is required can make it unhealthy."""
    worst = Status.HEALTHY
    for required, status in states:
        if required and status is Status.UNHEALTHY:
            return Status.UNHEALTHY
        if _LEVEL[status]:
            worst = Status.DEGRADED
    return worst
