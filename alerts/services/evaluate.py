"""Evaluate rules: measure, judge, and change the alerts accordingly.

A rule that fails is reported and does not affect other rules.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from alerts.evaluation import (
    EVALUATION_SLOT,
    Action,
    Decision,
    PreviousState,
    Stage,
    decide,
)
from alerts.extension_points import (
    Cadence,
    Measured,
    NoData,
    Reading,
    Severity,
    alert_rules,
    metric_readers,
)
from alerts.messages import format_value
from alerts.models import AlertRule, AlertState, RuleReading, SystemAlert
from alerts.services import defaults, lifecycle, problems
from alerts.services.excess import badness, combine_excess, excess_key, judge_reading
from alerts.services.rule_problems import build_problem, problem_key
from core.lib.upsert import upsert

log = logging.getLogger(__name__)

# Update an open alert at most this often, because some rules are evaluated after every error.
MIN_UPDATE_INTERVAL = timedelta(seconds=5)
FAILURES_BEFORE_ALERT = 3
# Further readings of a rule in the same minute are not stored.
MAX_READINGS_PER_RULE = 100
# Opening hundreds of alerts takes a long time, during which other writers must not wait for SQLite's write lock.
STEPS_PER_TRANSACTION = 25
Step = tuple[str, Reading | None, SystemAlert | None, Decision]
STAGES = {
    AlertState.PENDING: Stage.PENDING,
    AlertState.OPEN: Stage.ACTIVE,
    AlertState.ACKNOWLEDGED: Stage.ACTIVE,
    AlertState.DISMISSED: Stage.DISMISSED,
    AlertState.RESOLVED: Stage.RESOLVED,
}


@dataclass
class EvaluationResult:
    """The numbers of evaluated rules and of changed alerts, and the names of failed rules."""

    rule_count: int = 0
    opened_count: int = 0
    reopened_count: int = 0
    resolved_count: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "EvaluationResult") -> None:
        self.rule_count += other.rule_count
        self.opened_count += other.opened_count
        self.reopened_count += other.reopened_count
        self.resolved_count += other.resolved_count
        self.failed += other.failed

    def __str__(self) -> str:
        rules = "1 rule" if self.rule_count == 1 else f"{self.rule_count} rules"
        text = f"{rules}: {self.opened_count} opened, {self.reopened_count} reopened, {self.resolved_count} resolved"
        return f"{text}; failed: {', '.join(self.failed)}" if self.failed else text


def evaluate_rules(*, now: datetime, cadence: Cadence | None = None) -> EvaluationResult:
    """Evaluate every enabled rule whose code exists, or only those of one cadence.

    Without `cadence`, also resolve the alerts of disabled rules.
    """
    defaults.sync_rules()
    rows = AlertRule.objects.enabled().order_by("name")
    if cadence:
        rows = rows.filter(cadence=cadence)
    total = EvaluationResult(
        resolved_count=_resolve_alerts_of_disabled_rules(now) if cadence is None else 0
    )
    for row in rows:
        if row.is_custom or row.name in alert_rules:
            total.add(_evaluate(row, now=now))
    return total


def _resolve_alerts_of_disabled_rules(now: datetime) -> int:
    """Resolve the alerts whose rule was disabled, and return the number of these alerts."""
    alerts = SystemAlert.objects.unresolved().filter(rule__is_enabled=False)
    ended = 0
    for alert in alerts.select_related("rule").order_by("pk"):
        with transaction.atomic():
            ended += lifecycle.resolve(alert, now=now, text="the rule was disabled")
    return ended


def evaluate_rule(name: str, *, now: datetime) -> EvaluationResult:
    """Evaluate one rule now if it is enabled. An exception from the rule's code is recorded and not raised."""
    row = AlertRule.objects.filter(name=name).first()
    if row is None:
        row = defaults.get_or_create_rule(alert_rules.get(name))[0]
    return _evaluate(row, now=now) if row.is_enabled else EvaluationResult()


def measure(row: AlertRule, *, now: datetime) -> list[Reading]:
    """Return the current readings of the rule, or an empty list if there is no data.

    Exceptions from the rule's code propagate.
    """
    since = now - row.window
    if row.is_custom:
        measured = metric_readers.get(row.reader).read(row.selector, since, now)
    else:
        measured = alert_rules.get(row.name).measure(since, now)
    return to_readings(measured)


def to_readings(measured: Measured) -> list[Reading]:
    """Return the result of a measure as a list of readings."""
    if measured is None:
        return []
    if isinstance(measured, Reading):
        return [measured]
    if isinstance(measured, (int, float)):
        return [Reading(float(measured))]
    return list(measured)


def _evaluate(row: AlertRule, *, now: datetime) -> EvaluationResult:
    try:
        if transaction.get_connection().in_atomic_block:
            # A query that fails must not abort the caller's transaction.
            with transaction.atomic():
                readings = measure(row, now=now)
        else:  # On SQLite, a transaction would take the write lock although the measure only reads.
            readings = measure(row, now=now)
        return _apply_readings(row, readings, now=now)
    except Exception as error:
        log.exception("rule failed", extra={"rule": row.name})
        _record_failure(row, error, now=now)
        return EvaluationResult(rule_count=1, failed=[row.name])


def _apply_readings(row: AlertRule, readings: list[Reading], *, now: datetime) -> EvaluationResult:
    limits = row.get_limits()
    alerts_by_key = _find_alerts_by_key(row, now)
    measured = {problem_key(row.name, reading.labels): reading for reading in readings}
    readings_by_key = combine_excess(row, measured, alerts_by_key, limits)
    keys = (readings_by_key.keys() | alerts_by_key.keys()) - (
        measured.keys() - readings_by_key.keys()
    )
    if not readings and row.no_data == NoData.ALERT:
        keys |= {problem_key(row.name)}
    steps: list[Step] = []
    for key in sorted(keys):  # The sorted order prevents deadlocks between workers.
        reading, alert = readings_by_key.get(key), alerts_by_key.get(key)
        value = reading.value if reading else None
        verdict = judge_reading(reading, limits, is_excess=key == excess_key(row.name))
        decision = decide(verdict, value, _previous_state(alert), limits, now)
        if decision.action is not Action.NOTHING and not _is_too_soon(alert, decision, now):
            steps.append((key, reading, alert, decision))
    is_new_slot = (
        row.last_evaluated_at is None or abs(now - row.last_evaluated_at) >= EVALUATION_SLOT
    )
    result = EvaluationResult(rule_count=1)
    # The steps are independent. After a crash, the next evaluation performs the remaining steps.
    for start in range(0, len(steps), STEPS_PER_TRANSACTION):
        _apply_steps(row, steps[start : start + STEPS_PER_TRANSACTION], now=now, result=result)
    if is_new_slot:
        _record_evaluation(row, measured | readings_by_key, alerts_by_key, now=now)
    return result


@transaction.atomic
def _apply_steps(
    row: AlertRule, steps: list[Step], *, now: datetime, result: EvaluationResult
) -> None:
    repeated = []
    for key, reading, alert, decision in steps:
        if decision.action is Action.UPDATE and alert is not None:
            repeated.append((alert, build_problem(row, key, reading, decision)))
        else:
            _apply_step(row, key, reading, alert, decision, now=now, result=result)
    if repeated:
        lifecycle.add_occurrences(repeated, now=now)


def _find_alerts_by_key(row: AlertRule, now: datetime) -> dict[str, SystemAlert]:
    """Return the unresolved alert for each key, or else the last alert that was resolved within the reopen window."""
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


def _previous_state(alert: SystemAlert | None) -> PreviousState | None:
    if alert is None:
        return None
    return PreviousState(
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
        and abs(now - alert.last_seen_at) < MIN_UPDATE_INTERVAL
    )


def _apply_step(
    row: AlertRule,
    key: str,
    reading: Reading | None,
    alert: SystemAlert | None,
    decision: Decision,
    *,
    now: datetime,
    result: EvaluationResult,
) -> None:
    problem = build_problem(row, key, reading, decision)
    match decision.action:
        case Action.PEND:
            lifecycle.create_alert(problem, now=now, is_pending=True)
        case Action.OPEN if alert is None or alert.state == AlertState.RESOLVED:
            result.opened_count += lifecycle.create_alert(problem, now=now) is not None
        case _ if alert is None:
            raise AssertionError(f"{decision.action} needs an alert")
        case Action.OPEN:
            result.opened_count += lifecycle.open_pending(alert, problem, now=now)
        case Action.REOPEN:
            result.reopened_count += lifecycle.reopen(alert, problem, now=now)
        case Action.RAISE:
            lifecycle.raise_severity(alert, problem, now=now)
        case Action.RECORD:
            lifecycle.record_verdict(
                alert,
                recent=decision.recent,
                clear_since=decision.clear_since,
                value=reading.value if reading else None,
                now=now,
            )
        case Action.DISCARD:
            lifecycle.discard_pending(alert)
        case Action.RESOLVE:
            value = reading.value if reading else None
            result.resolved_count += lifecycle.resolve(
                alert, now=now, text=_describe_clearing(row, key, reading), value=value
            )


def _describe_clearing(row: AlertRule, key: str, reading: Reading | None) -> str:
    if reading is not None:
        return f"back to {format_value(reading.value, row.unit)}"
    return (
        "each further series is clear or has its own alert"
        if key == excess_key(row.name)
        else "no data"
    )


@transaction.atomic
def _record_evaluation(
    row: AlertRule,
    readings_by_key: Mapping[str, Reading],
    alerts_by_key: Mapping[str, SystemAlert],
    *,
    now: datetime,
) -> None:
    """Store the state of the rule, and its readings for charts and previews.

    The caller runs this function at most once per EVALUATION_SLOT for each rule.
    """
    values = [value for reading in readings_by_key.values() if (value := reading.value) is not None]
    worst = (min if row.below else max)(values, default=None)
    had_failed = bool(row.last_error)
    AlertRule.objects.filter(pk=row.pk).update(
        last_evaluated_at=now, last_value=worst, last_error="", failure_count=0
    )
    if had_failed:
        problems.clear_problem(key=f"rule-failing:{row.name}", now=now)
    minute = now.replace(second=0, microsecond=0)
    limits = row.get_limits()
    alerts_first = sorted(
        readings_by_key.items(),
        key=lambda item: (item[0] not in alerts_by_key, badness(item[1], limits), item[0]),
    )
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
            for key, reading in alerts_first[:MAX_READINGS_PER_RULE]
        ],
        key=["rule", "key", "at"],
        replace=["value", "samples"],
    )


def _record_failure(row: AlertRule, error: Exception, *, now: datetime) -> None:
    count = row.failure_count + 1
    text = f"{type(error).__name__}: {error}"[:2000]
    AlertRule.objects.filter(pk=row.pk).update(
        last_error=text, failure_count=count, last_evaluated_at=now
    )
    if count >= FAILURES_BEFORE_ALERT:
        problems.report_problem(
            key=f"rule-failing:{row.name}",
            alert_type="rule-failing",
            title=f"Rule cannot be evaluated: {row.name}"[:200],
            message=f"{text}\nUntil this is fixed, this rule cannot raise alerts.",
            severity=Severity.WARNING,
            source="alerts",
            now=now,
        )
