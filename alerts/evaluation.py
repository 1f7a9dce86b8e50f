"""Decide what a measured value means for a problem, without a database or a clock.

`judge` turns a value into a verdict; `decide` turns a verdict and the previous state into the next action.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from alerts.extension_points import NoData, Severity

# Evaluations within this time count as one. "n of m breaches" therefore counts minutes, even for a rule that is also
# evaluated after every critical error.
EVALUATION_SLOT = timedelta(seconds=50)


class Verdict(StrEnum):
    """The result of one evaluation. Each member is a single letter, because recent verdicts are stored as a string."""

    BREACH = "b"
    BETWEEN = "n"  # The value is between the threshold and the clear threshold.
    CLEAR = "c"
    UNKNOWN = "u"  # The value cannot be judged, or it is missing and the rule ignores missing data.


NO_DATA_VERDICTS = {
    NoData.OK: Verdict.CLEAR,
    NoData.KEEP: Verdict.UNKNOWN,
    NoData.ALERT: Verdict.BREACH,
}


class Stage(StrEnum):
    """The states of a problem that `decide` distinguishes."""

    PENDING = "pending"
    ACTIVE = "active"  # The alert is open or acknowledged.
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


class Action(Enum):
    NOTHING = "nothing"
    PEND = "pend"  # Record a breach, although an alert opens only after further breaches.
    DISCARD = "discard"  # Delete a pending problem whose rule is no longer breached.
    OPEN = "open"
    REOPEN = "reopen"
    RECORD = "record"  # Store the verdict, and leave the alert unchanged.
    UPDATE = "update"  # Count one more occurrence of the problem.
    RAISE = "raise"  # Count one more occurrence of the problem, and raise the severity.
    RESOLVE = "resolve"


@dataclass(frozen=True)
class Limits:
    """The thresholds and counts of a rule that turn values into verdicts and actions."""

    threshold: float
    severity: Severity
    below: bool = False
    clear_threshold: float | None = None
    critical_threshold: float | None = None
    breaches_needed: int = 1
    out_of: int = 1
    clear_after: int = 1
    min_samples: int = 0
    no_data: NoData = NoData.OK
    reopen_window: timedelta = timedelta(minutes=15)
    # A flapping alert resolves after it has been clear for this long.
    flapping_clear_period: timedelta = timedelta(hours=1)

    def effective_clear_threshold(self) -> float:
        """Return the value that resolves the alert: by default 80 % of the threshold, or 125 % if `below` is set.

        For a negative threshold, the default is 120 %, or 75 % if `below` is set.
        A configured value that would itself be a breach is ignored, and the threshold is used instead.
        """
        if self.below:
            configured = (
                self.threshold + abs(self.threshold) / 4
                if self.clear_threshold is None
                else self.clear_threshold
            )
            return max(configured, self.threshold)
        configured = (
            self.threshold - abs(self.threshold) / 5
            if self.clear_threshold is None
            else self.clear_threshold
        )
        return min(configured, self.threshold)

    def severity_for(self, value: float | None) -> Severity:
        if value is None or self.critical_threshold is None:
            return self.severity
        is_critical = (
            value <= self.critical_threshold if self.below else value > self.critical_threshold
        )
        return Severity.CRITICAL if is_critical else self.severity


@dataclass(frozen=True)
class PreviousState:
    """The state of a problem before an evaluation, as stored in the row of its alert."""

    stage: Stage
    severity: Severity
    recent: str = ""
    evaluated_at: datetime | None = None
    clear_since: datetime | None = None
    resolved_at: datetime | None = None
    is_flapping: bool = False


@dataclass(frozen=True)
class Decision:
    action: Action
    verdict: Verdict
    severity: Severity
    recent: str = ""
    clear_since: datetime | None = None


def judge(value: float | None, samples: int | None, limits: Limits) -> Verdict:
    """Return the verdict on one value. NaN and too few samples count as no data."""
    if value is None or value != value or (samples is not None and samples < limits.min_samples):
        return NO_DATA_VERDICTS[limits.no_data]
    if value <= limits.threshold if limits.below else value > limits.threshold:
        return Verdict.BREACH
    clear_threshold = limits.effective_clear_threshold()
    is_clear = value >= clear_threshold if limits.below else value <= clear_threshold
    return Verdict.CLEAR if is_clear else Verdict.BETWEEN


def append_verdict(
    previous: PreviousState | None, verdict: Verdict, limits: Limits, now: datetime
) -> str:
    """Return the recent verdicts with `verdict` appended, as many as the limits require, but at most 100.

    If the previous verdict is in the same slot, `verdict` replaces it.
    """
    recent = previous.recent if previous else ""
    if previous and previous.evaluated_at and abs(now - previous.evaluated_at) < EVALUATION_SLOT:
        recent = recent[:-1]
    length = max(limits.out_of, limits.clear_after)
    return (recent + verdict)[-min(length, 100) :]


def decide(
    verdict: Verdict,
    value: float | None,
    previous: PreviousState | None,
    limits: Limits,
    now: datetime,
) -> Decision:
    """Return the action to take, given the verdict and the previous state of the problem."""
    severity = limits.severity_for(value)
    if verdict is Verdict.UNKNOWN:
        return Decision(Action.NOTHING, verdict, severity, previous.recent if previous else "")
    recent = append_verdict(previous, verdict, limits, now)
    is_breached = recent[-limits.out_of :].count(Verdict.BREACH) >= limits.breaches_needed
    if previous is None:
        if verdict is not Verdict.BREACH:
            return Decision(Action.NOTHING, verdict, severity)
        return Decision(Action.OPEN if is_breached else Action.PEND, verdict, severity, recent)
    if previous.stage is Stage.RESOLVED:
        return _decide_after_resolution(
            verdict, severity, recent, is_breached, previous, limits, now
        )
    if previous.stage is Stage.PENDING:
        if is_breached and verdict is Verdict.BREACH:
            return Decision(Action.OPEN, verdict, severity, recent)
        is_over = Verdict.BREACH not in recent[-limits.out_of :]
        return Decision(Action.DISCARD if is_over else Action.RECORD, verdict, severity, recent)
    return _decide_while_unresolved(verdict, severity, recent, previous, limits, now)


def _decide_after_resolution(
    verdict: Verdict,
    severity: Severity,
    recent: str,
    is_breached: bool,
    previous: PreviousState,
    limits: Limits,
    now: datetime,
) -> Decision:
    resolved_at = previous.resolved_at
    if resolved_at is None or now - resolved_at > limits.reopen_window:
        first = decide(verdict, None, None, limits, now)
        return Decision(first.action, verdict, severity, first.recent)
    if verdict is not Verdict.BREACH:
        has_breach = Verdict.BREACH in recent
        return Decision(Action.RECORD if has_breach else Action.NOTHING, verdict, severity, recent)
    return Decision(Action.REOPEN if is_breached else Action.RECORD, verdict, severity, recent)


def _decide_while_unresolved(
    verdict: Verdict,
    severity: Severity,
    recent: str,
    previous: PreviousState,
    limits: Limits,
    now: datetime,
) -> Decision:
    if verdict is Verdict.BREACH:
        is_worse = previous.stage is Stage.ACTIVE and severity.rank > previous.severity.rank
        new_severity = severity if is_worse else previous.severity
        action = Action.RAISE if is_worse else Action.UPDATE
        return Decision(action, verdict, new_severity, recent)
    if verdict is Verdict.BETWEEN:
        return Decision(Action.RECORD, verdict, previous.severity, recent)
    clear_since = previous.clear_since or now
    streak = len(recent) - len(recent.rstrip(Verdict.CLEAR))
    is_stable = not previous.is_flapping or now - clear_since >= limits.flapping_clear_period
    is_over = streak >= limits.clear_after and is_stable
    return Decision(
        Action.RESOLVE if is_over else Action.RECORD,
        verdict,
        previous.severity,
        recent,
        clear_since,
    )


def advance(
    previous: PreviousState | None, decision: Decision, now: datetime
) -> PreviousState | None:
    """Return the state of the problem after the decision has been carried out, or None if no state remains."""
    if decision.action is Action.NOTHING:
        return previous
    if decision.action is Action.DISCARD:
        return None
    if decision.action is Action.RESOLVE:
        return PreviousState(Stage.RESOLVED, decision.severity, evaluated_at=now, resolved_at=now)
    if decision.action is Action.PEND:
        stage = Stage.PENDING
    elif decision.action is Action.RECORD and previous:
        stage = previous.stage
    else:
        stage = Stage.ACTIVE
    return PreviousState(
        stage,
        decision.severity,
        decision.recent,
        now,
        decision.clear_since,
        previous.resolved_at if previous and stage is Stage.RESOLVED else None,
    )
