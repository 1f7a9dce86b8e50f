"""Asking the rules: measure, judge, and take the step that follows. A rule that fails stops no other and is shown."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from alerts import metric_readers, rules
from alerts.evaluation import SLOT, Action, Decision, Previous, Stage, decide, judge
from alerts.messages import in_units
from alerts.models import AlertRule, AlertState, RuleReading, SystemAlert
from alerts.rules import Reading, Severity
from alerts.services import defaults, lifecycle, problems
from alerts.services.lifecycle import Problem
from opsportal.lib import formats
from opsportal.lib.upsert import upsert

log = logging.getLogger(__name__)

# Between two evaluations of one minute an open alert is written to this often at most, however many errors come in.
UPDATE_EVERY = timedelta(seconds=5)
FAILURES_BEFORE_ALERT = 3
READINGS_KEPT_PER_RULE = 100  # of one minute
# Opening five hundred alerts takes seconds; SQLite's one writer must not be kept that long from those who report.
STEPS_AT_ONCE = 25
Step = tuple[str, Reading | None, SystemAlert | None, Decision]
STAGES = {
    AlertState.PENDING: Stage.PENDING,
    AlertState.OPEN: Stage.ACTIVE,
    AlertState.ACKNOWLEDGED: Stage.ACTIVE,
    AlertState.DISMISSED: Stage.DISMISSED,
    AlertState.RESOLVED: Stage.RESOLVED,
}


@dataclass
class Evaluated:
    """What an evaluation came to."""

    rules: int = 0
    opened: int = 0
    reopened: int = 0
    resolved: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Evaluated") -> None:
        self.rules += other.rules
        self.opened += other.opened
        self.reopened += other.reopened
        self.resolved += other.resolved
        self.failed += other.failed

    def __str__(self) -> str:
        text = f"{self.rules} rules: {self.opened} opened, {self.reopened} reopened, {self.resolved} resolved"
        return f"{text}; failed: {', '.join(self.failed)}" if self.failed else text


def evaluate_rules(*, now: datetime, cadence: str | None = None) -> Evaluated:
    """Every enabled rule, or those of one cadence."""
    defaults.sync_rules()
    rows = AlertRule.objects.enabled().order_by("name")
    if cadence:
        rows = rows.filter(cadence=cadence)
    total = Evaluated(resolved=_end_of_retired(now) if cadence is None else 0)
    for row in rows:
        if row.is_custom or row.name in rules.registry:
            total.add(_evaluate(row, now=now))
    return total


def _end_of_retired(now: datetime) -> int:
    """Nobody looks any more whether the problems of rules that are disabled last; so their alerts end."""
    alerts = SystemAlert.objects.owning_their_key().filter(rule__is_enabled=False)
    ended = 0
    for alert in alerts.select_related("rule").order_by("pk"):
        with transaction.atomic():
            ended += lifecycle.finish(alert, now=now, text="its rule was disabled")
    return ended


def evaluate_rule(name: str, *, now: datetime) -> Evaluated:
    """One rule, at once. Cheap when nothing changes: then it only reads. Never raises for a rule that fails."""
    row = AlertRule.objects.filter(name=name).first()
    if row is None:
        row = defaults.rule_row(rules.registry.get(name))[0]
    return _evaluate(row, now=now) if row.is_enabled else Evaluated()


def problem_key(rule_name: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """The identity of a rule's problem: its name and labels, never its value, time or severity."""
    pairs = sorted(labels)
    if not pairs:
        return f"rule:{rule_name}"
    return f"rule:{rule_name}:{hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]}"


def measure(row: AlertRule, *, now: datetime) -> list[Reading]:
    """What the rule reads now; empty for no data. Raises whatever the rule's own code raises."""
    since = now - row.window
    if row.is_custom:
        measured = metric_readers.registry.get(row.reader)(row.selector, since, now)
    else:
        measured = rules.registry.get(row.name).measure(since, now)
    if measured is None:
        return []
    if isinstance(measured, Reading):
        return [measured]
    if isinstance(measured, (int, float)):
        return [Reading(float(measured))]
    return list(measured)


def _evaluate(row: AlertRule, *, now: datetime) -> Evaluated:
    try:
        if transaction.get_connection().in_atomic_block:
            with transaction.atomic():  # what fails here must not spoil the caller's transaction
                readings = measure(row, now=now)
        else:  # and must not take SQLite's write lock just to read
            readings = measure(row, now=now)
        return _apply(row, readings, now=now)
    except Exception as error:
        log.exception("rule failed", extra={"rule": row.name})
        _failed(row, error, now=now)
        return Evaluated(rules=1, failed=[row.name])


def _apply(row: AlertRule, readings: list[Reading], *, now: datetime) -> Evaluated:
    limits = row.limits()
    known = _known_problems(row, now)
    by_key = {problem_key(row.name, reading.labels): reading for reading in readings}
    keys = by_key.keys() | known.keys()
    if not readings and row.no_data == "alert":
        keys |= {problem_key(row.name)}
    steps: list[Step] = []
    for key in sorted(keys):  # in one order: two workers never wait for each other in a circle
        reading, alert = by_key.get(key), known.get(key)
        value = reading.value if reading else None
        verdict = judge(value, reading.samples if reading else None, limits)
        decision = decide(verdict, value, _previous(alert), limits, now)
        if decision.action is not Action.NOTHING and not _is_too_soon(alert, decision, now):
            steps.append((key, reading, alert, decision))
    is_new_slot = row.last_evaluated_at is None or abs(now - row.last_evaluated_at) >= SLOT
    result = Evaluated(rules=1)
    # Each step stands for itself: what a crash leaves undone is found again by the next evaluation.
    for start in range(0, len(steps), STEPS_AT_ONCE):
        _take_steps(row, steps[start : start + STEPS_AT_ONCE], now=now, result=result)
    if is_new_slot:
        _remember(row, by_key, now=now)
    return result


@transaction.atomic
def _take_steps(row: AlertRule, steps: list[Step], *, now: datetime, result: Evaluated) -> None:
    again = []
    for key, reading, alert, decision in steps:
        if decision.action is Action.UPDATE and alert is not None:
            again.append((alert, _problem(row, key, reading, decision)))
        else:
            _take(row, key, reading, alert, decision, now=now, result=result)
    if again:
        lifecycle.add_occurrences(again, now=now)


def _known_problems(row: AlertRule, now: datetime) -> dict[str, SystemAlert]:
    """By key: the alert that owns it, else the last one that ended so recently that it may reopen."""
    alerts = (
        SystemAlert.objects.filter(rule=row)
        .filter(
            ~Q(state=AlertState.RESOLVED)
            | Q(state=AlertState.RESOLVED, resolved_at__gte=now - row.reopen_window)
        )
        .order_by("pk")
    )
    found = {alert.key: alert for alert in alerts if alert.state == AlertState.RESOLVED}
    found |= {alert.key: alert for alert in alerts if alert.state != AlertState.RESOLVED}
    for alert in found.values():
        alert.rule = row
    return found


def _previous(alert: SystemAlert | None) -> Previous | None:
    if alert is None:
        return None
    return Previous(
        stage=STAGES[AlertState(alert.state)],
        severity=Severity(alert.severity),
        recent=alert.recent,
        evaluated_at=alert.evaluated_at,
        clear_since=alert.clear_since,
        resolved_at=alert.resolved_at,
        is_flapping=alert.is_flapping,
    )


def _is_too_soon(alert: SystemAlert | None, decision: Decision, now: datetime) -> bool:
    return (
        alert is not None
        and decision.action is Action.UPDATE
        and decision.recent == alert.recent
        and abs(now - alert.last_seen_at) < UPDATE_EVERY
    )


def _take(
    row: AlertRule,
    key: str,
    reading: Reading | None,
    alert: SystemAlert | None,
    decision: Decision,
    *,
    now: datetime,
    result: Evaluated,
) -> None:
    problem = _problem(row, key, reading, decision)
    match decision.action:
        case Action.PEND:
            lifecycle.begin(problem, now=now, is_pending=True)
        case Action.OPEN if alert is None or alert.state == AlertState.RESOLVED:
            result.opened += lifecycle.begin(problem, now=now) is not None
        case _ if alert is None:
            raise AssertionError(f"{decision.action} needs an alert")
        case Action.OPEN:
            result.opened += lifecycle.open_pending(alert, problem, now=now)
        case Action.REOPEN:
            result.reopened += lifecycle.reopen(alert, problem, now=now)
        case Action.RAISE:
            lifecycle.worsen(alert, problem, now=now)
        case Action.REMEMBER:
            lifecycle.keep_verdict(
                alert, recent=decision.recent, clear_since=decision.clear_since, now=now
            )
        case Action.FORGET:
            lifecycle.forget(alert)
        case Action.RESOLVE:
            value = reading.value if reading else None
            text = f"back at {in_units(value, row.unit)}" if reading else "no data any more"
            result.resolved += lifecycle.finish(alert, now=now, text=text, value=value)


def _problem(row: AlertRule, key: str, reading: Reading | None, decision: Decision) -> Problem:
    labels = dict(reading.labels) if reading else {}
    named = ", ".join(labels.values())
    summary = row.problem_name
    return Problem(
        key=key,
        alert_type=row.alert_type,
        title=(reading and reading.title) or (f"{summary}: {named}" if named else summary),
        message=reading.message if reading and reading.message else _sentence(row, reading),
        severity=decision.severity,
        source=row.name.partition(".")[0],
        rule=row,
        value=reading.value if reading else None,
        threshold=row.threshold,
        unit=row.unit,
        labels=labels,
        metadata=_plain(reading.metadata) if reading else {},
        recent=decision.recent,
    )


def _sentence(row: AlertRule, reading: Reading | None) -> str:
    limit = in_units(row.threshold, row.unit)
    if reading is None:
        return f"No data for {formats.span(row.window)}."
    relation = "at or below" if row.below else "above"
    value = in_units(reading.value, row.unit)
    return f"{value}, {relation} the threshold of {limit} (over {formats.span(row.window)})."


def _plain(metadata: Mapping[str, object]) -> dict[str, object]:
    """As JSON can keep it: whatever else a rule puts in becomes text."""
    kept: dict[str, object] = json.loads(json.dumps(metadata, default=str))
    return kept


@transaction.atomic
def _remember(row: AlertRule, by_key: Mapping[str, Reading], *, now: datetime) -> None:
    """Once a minute: the rule's own state, and what it saw for charts and previews."""
    values = [reading.value for reading in by_key.values()]
    worst = (min if row.below else max)(values, default=None)
    had_failed = bool(row.last_error)
    AlertRule.objects.filter(pk=row.pk).update(
        last_evaluated_at=now, last_value=worst, last_error="", failure_count=0
    )
    if had_failed:
        problems.clear_problem(key=f"rule-failing:{row.name}", now=now)
    minute = now.replace(second=0, microsecond=0)
    kept = sorted(by_key.items(), key=lambda item: item[1].value, reverse=not row.below)
    upsert(
        RuleReading,
        [
            {
                "rule": row.pk,
                "key": key,
                "at": minute,
                "value": reading.value,
                "samples": reading.samples,
            }
            for key, reading in kept[:READINGS_KEPT_PER_RULE]
        ],
        key=["rule", "key", "at"],
        replace=["value", "samples"],
    )


def _failed(row: AlertRule, error: Exception, *, now: datetime) -> None:
    count = row.failure_count + 1
    text = f"{type(error).__name__}: {error}"[:2000]
    AlertRule.objects.filter(pk=row.pk).update(
        last_error=text, failure_count=count, last_evaluated_at=now
    )
    if count >= FAILURES_BEFORE_ALERT:
        problems.report_problem(
            key=f"rule-failing:{row.name}",
            alert_type="rule-failing",
            title=f"A rule cannot be evaluated: {row.name}"[:200],
            message=f"{text}\nUntil this is mended, nobody is told when it is breached.",
            severity=Severity.WARNING,
            source="alerts",
            now=now,
        )
