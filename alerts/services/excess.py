"""Combine the excess breaches of a rule in one alert, so that many slow functions, for example, cause one message.

A series consists of the readings with the same labels. Series are combined only when alerts open. Readings are stored
per series, up to MAX_READINGS_PER_RULE, and each existing alert is judged by its own series.
"""

from collections.abc import Mapping, Sequence

from alerts.evaluation import Limits, Verdict, judge
from alerts.extension_points import Reading
from alerts.messages import format_value
from alerts.models import ACTIVE_STATES, AlertRule, AlertState, SystemAlert

# If more series of a rule breach its threshold, the remaining series share one alert, which states their number.
MAX_ALERTS_PER_RULE = 20
MAX_NAMED = 5  # The text of the shared alert names this many series.


def excess_key(rule_name: str) -> str:
    """Return the key of the alert that the excess series of a rule share."""
    return f"rule:{rule_name}:more"


def judge_reading(reading: Reading | None, limits: Limits, *, is_excess: bool = False) -> Verdict:
    """Return the verdict on one series.

    The shared alert (`is_excess`) is clear without a reading. For any other series, the rule decides what a missing
    reading means. A reading without a value is unknown.
    """
    if reading is None:
        return Verdict.CLEAR if is_excess else judge(None, None, limits)
    if reading.value is None:
        return Verdict.UNKNOWN
    return judge(reading.value, reading.samples, limits)


def combine_excess(
    row: AlertRule,
    readings_by_key: Mapping[str, Reading],
    alerts_by_key: Mapping[str, SystemAlert],
    limits: Limits,
) -> dict[str, Reading]:
    """Return the readings with all breaching series that exceed MAX_ALERTS_PER_RULE combined into one reading.

    A series with an unresolved alert is never combined. Of the other series, the worst ones get separate alerts until
    the rule has MAX_ALERTS_PER_RULE active or pending alerts.
    """
    combined_key = excess_key(row.name)
    unresolved = {key for key, alert in alerts_by_key.items() if alert.state != AlertState.RESOLVED}
    shown = sum(
        alert.state in (*ACTIVE_STATES, AlertState.PENDING)
        for key, alert in alerts_by_key.items()
        if key != combined_key
    )
    breaching = [
        (key, reading)
        for key, reading in readings_by_key.items()
        if key not in unresolved and judge_reading(reading, limits) is Verdict.BREACH
    ]
    breaching.sort(key=lambda item: (badness(item[1], limits), item[0]))
    excess = breaching[max(0, MAX_ALERTS_PER_RULE - shown) :]
    if not excess:
        return dict(readings_by_key)
    combined = {key for key, _ in excess}
    left = {key: reading for key, reading in readings_by_key.items() if key not in combined}
    return left | {combined_key: _combine_readings(row, [reading for _, reading in excess])}


def badness(reading: Reading, limits: Limits) -> float:
    """Return a sort key that puts the worst readings first."""
    value = reading.value or 0.0
    return value if limits.below else -value


def _combine_readings(row: AlertRule, worst_first: Sequence[Reading]) -> Reading:
    """Return one reading for several breaching series. It has the worst value and states the number of series."""
    count = len(worst_first)
    named = [
        f"{reading.title or ', '.join(value for _, value in reading.labels)}"
        f" ({format_value(reading.value, row.unit)})"
        for reading in worst_first[:MAX_NAMED]
    ]
    if count > MAX_NAMED:
        named.append(f"and {count - MAX_NAMED} more")
    return Reading(
        worst_first[0].value,
        title=f"{row.problem_name}: {count} more",
        message=f"{count} more, besides those with alerts of their own: {', '.join(named)}. "
        f"The threshold is {format_value(row.threshold, row.unit)}.",
        metadata={"count": count},
    )
