"""What a measured value means for a problem: pure, without a database or a clock.

`judge` turns a value into a verdict, `decide` a verdict and what was known before into what to do now.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from alerts.rules import Severity

# Evaluations closer than this are one: a rule asked at once after each critical error, and by the minute sweep,
# still counts its n of m in minutes.
SLOT = timedelta(seconds=50)


class Verdict(StrEnum):
    """One letter each: the last verdicts of a problem are kept as a word."""

    BREACH = "b"
    BETWEEN = "n"  # neither breached nor clear: between the two thresholds
    CLEAR = "c"
    UNKNOWN = "u"  # no data, and that is to change nothing


class Stage(StrEnum):
    """What a problem was before this evaluation, as far as it matters here."""

    PENDING = "pending"
    ACTIVE = "active"  # open or acknowledged
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


class Action(Enum):
    NOTHING = "nothing"
    PEND = "pend"  # a first breach that does not amount to an alert yet
    FORGET = "forget"  # it never did
    OPEN = "open"
    REOPEN = "reopen"
    REMEMBER = "remember"  # keep the verdict, change nothing else
    UPDATE = "update"  # one more occurrence
    RAISE = "raise"  # one more, and worse
    RESOLVE = "resolve"


@dataclass(frozen=True)
class Limits:
    threshold: float
    severity: Severity
    below: bool = False
    clear_threshold: float | None = None
    critical_threshold: float | None = None
    breaches_needed: int = 1
    out_of: int = 1
    clear_after: int = 1
    min_samples: int = 0
    no_data: str = "ok"
    reopen_window: timedelta = timedelta(minutes=15)
    calm_needed: timedelta = timedelta(hours=1)  # a flapping alert ends after being clear this long

    def clear_at(self) -> float:
        """The value at which it is over: at the threshold or on its good side, 80 % (125 % for a floor) if unset."""
        if self.below:
            wanted = (
                self.threshold + abs(self.threshold) / 4
                if self.clear_threshold is None
                else self.clear_threshold
            )
            return max(wanted, self.threshold)
        wanted = (
            self.threshold - abs(self.threshold) / 5
            if self.clear_threshold is None
            else self.clear_threshold
        )
        return min(wanted, self.threshold)

    def severity_of(self, value: float | None) -> Severity:
        if value is None or self.critical_threshold is None:
            return self.severity
        beyond = value <= self.critical_threshold if self.below else value > self.critical_threshold
        return Severity.CRITICAL if beyond else self.severity


@dataclass(frozen=True)
class Previous:
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
    """What one value says. Too few samples are no data; NaN is no data too."""
    if value is None or value != value or (samples is not None and samples < limits.min_samples):
        return {"ok": Verdict.CLEAR, "alert": Verdict.BREACH}.get(limits.no_data, Verdict.UNKNOWN)
    if value <= limits.threshold if limits.below else value > limits.threshold:
        return Verdict.BREACH
    clear = value >= limits.clear_at() if limits.below else value <= limits.clear_at()
    return Verdict.CLEAR if clear else Verdict.BETWEEN


def remember(previous: Previous | None, verdict: Verdict, limits: Limits, now: datetime) -> str:
    """The word of recent verdicts with this one added; within one slot the latest verdict replaces the one before."""
    recent = previous.recent if previous else ""
    if previous and previous.evaluated_at and abs(now - previous.evaluated_at) < SLOT:
        recent = recent[:-1]
    kept = max(limits.out_of, limits.clear_after)
    return (recent + verdict)[-min(kept, 100) :]


def decide(
    verdict: Verdict,
    value: float | None,
    previous: Previous | None,
    limits: Limits,
    now: datetime,
) -> Decision:
    """What to do about a problem, given what it was."""
    severity = limits.severity_of(value)
    if verdict is Verdict.UNKNOWN:
        return Decision(Action.NOTHING, verdict, severity, previous.recent if previous else "")
    recent = remember(previous, verdict, limits, now)
    is_breached = recent[-limits.out_of :].count(Verdict.BREACH) >= limits.breaches_needed
    if previous is None:
        if verdict is not Verdict.BREACH:
            return Decision(Action.NOTHING, verdict, severity)
        return Decision(Action.OPEN if is_breached else Action.PEND, verdict, severity, recent)
    if previous.stage is Stage.RESOLVED:
        return _after_the_end(verdict, severity, recent, is_breached, previous, limits, now)
    if previous.stage is Stage.PENDING:
        if is_breached and verdict is Verdict.BREACH:
            return Decision(Action.OPEN, verdict, severity, recent)
        gone = Verdict.BREACH not in recent[-limits.out_of :]
        return Decision(Action.FORGET if gone else Action.REMEMBER, verdict, severity, recent)
    return _while_it_lasts(verdict, severity, recent, previous, limits, now)


def _after_the_end(
    verdict: Verdict,
    severity: Severity,
    recent: str,
    is_breached: bool,
    previous: Previous,
    limits: Limits,
    now: datetime,
) -> Decision:
    ended = previous.resolved_at
    if ended is None or now - ended > limits.reopen_window:
        fresh = decide(verdict, None, None, limits, now)
        return Decision(fresh.action, verdict, severity, fresh.recent)
    if verdict is not Verdict.BREACH:
        counts = Verdict.BREACH in recent
        return Decision(Action.REMEMBER if counts else Action.NOTHING, verdict, severity, recent)
    return Decision(Action.REOPEN if is_breached else Action.REMEMBER, verdict, severity, recent)


def _while_it_lasts(
    verdict: Verdict,
    severity: Severity,
    recent: str,
    previous: Previous,
    limits: Limits,
    now: datetime,
) -> Decision:
    if verdict is Verdict.BREACH:
        worse = previous.stage is Stage.ACTIVE and severity.rank > previous.severity.rank
        kept = severity if worse else previous.severity
        return Decision(Action.RAISE if worse else Action.UPDATE, verdict, kept, recent)
    if verdict is Verdict.BETWEEN:
        return Decision(Action.REMEMBER, verdict, previous.severity, recent)
    clear_since = previous.clear_since or now
    streak = len(recent) - len(recent.rstrip(Verdict.CLEAR))
    is_calm = not previous.is_flapping or now - clear_since >= limits.calm_needed
    over = streak >= limits.clear_after and is_calm
    return Decision(
        Action.RESOLVE if over else Action.REMEMBER, verdict, previous.severity, recent, clear_since
    )


def advance(previous: Previous | None, decision: Decision, now: datetime) -> Previous | None:
    """What is known of a problem once the decision was carried out; None when nothing is."""
    if decision.action is Action.NOTHING:
        return previous
    if decision.action is Action.FORGET:
        return None
    if decision.action is Action.RESOLVE:
        return Previous(Stage.RESOLVED, decision.severity, evaluated_at=now, resolved_at=now)
    if decision.action is Action.PEND:
        stage = Stage.PENDING
    elif decision.action is Action.REMEMBER and previous:
        stage = previous.stage
    else:
        stage = Stage.ACTIVE
    return Previous(
        stage,
        decision.severity,
        decision.recent,
        now,
        decision.clear_since,
        previous.resolved_at if previous and stage is Stage.RESOLVED else None,
    )
