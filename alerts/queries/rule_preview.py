"""Preview a rule: its current value, and the number of times it would have fired with the limits in the form."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.evaluation import Verdict, judge
from alerts.extension_points import MetricReader, Reading
from alerts.messages import format_clear_condition, format_value
from alerts.models import AlertRule, RuleReading
from alerts.services.evaluate import measure, to_readings
from alerts.tuning import Replay, replay
from core.lib.charts import Chart, Series, Threshold
from core.releases.queries import mark_deploys

PREVIEW_DAYS = 7
# A new rule has no readings, so its metric is measured at regular times of the last day instead.
TRIAL_SPAN = timedelta(hours=24)
TRIAL_STEP = timedelta(minutes=30)
MAX_METRICS = 20
# The name of a metric, and its latest value with the unit.
MetricValue = tuple[str, str]


def preview_rule(rule: AlertRule, *, now: datetime) -> Replay:
    """Apply the limits of the rule, which may be unsaved, to the readings of the last seven days."""
    rows = (
        RuleReading.objects.filter(rule_id=rule.pk, at__gte=now - timedelta(days=PREVIEW_DAYS))
        .order_by("key", "at")
        .values_list("key", "at", "value", "samples")
    )
    return replay(rows.iterator(), rule.get_limits())


@dataclass(frozen=True)
class Trial:
    """The result of measuring an unsaved rule at several times of the last day."""

    preview: Replay
    chart: Chart
    current: list[Reading]
    state: str  # "breached", "clear" (not breached) or "no data" (no current reading).


def try_rule(rule: AlertRule, *, now: datetime) -> Trial:
    """Measure an unsaved rule at several times of the last day. Exceptions from the metric reader propagate."""
    count = int(TRIAL_SPAN / TRIAL_STEP)
    times = [now - TRIAL_STEP * ago for ago in reversed(range(count))]
    measured = [measure(rule, now=at) for at in times]
    by_key = [{str(reading.labels): reading for reading in readings} for readings in measured]
    # Used for a series that has no reading at one of the times.
    missing = Reading(None)
    rows = [
        (key, at, readings.get(key, missing).value, readings.get(key, missing).samples)
        for key in sorted({key for readings in by_key for key in readings})
        for at, readings in zip(times, by_key, strict=True)
    ]
    limits = rule.get_limits()
    worst = min if rule.below else max
    values = [
        worst((reading.value for reading in readings if reading.value is not None), default=None)
        for readings in measured
    ]
    thresholds = [
        Threshold(limits.threshold, f"threshold: {format_value(limits.threshold, rule.unit)}")
    ]
    clear = limits.effective_clear_threshold()
    if clear != limits.threshold:
        thresholds.append(Threshold(clear, f"resolves at: {format_clear_condition(rule)}", "ok"))
    verdicts = {judge(reading.value, reading.samples, limits) for reading in measured[-1]}
    return Trial(
        preview=replay(rows, limits),
        chart=mark_deploys(
            Chart(
                title="The last 24 hours",
                times=times,
                series=[Series("Value", values, kind="line")],
                unit=rule.unit,
                thresholds=thresholds,
                empty="This metric was not recorded during the last 24 hours.",
                span=(times[0], now),
            )
        ),
        current=measured[-1],
        state="breached" if Verdict.BREACH in verdicts else "clear" if verdicts else "no data",
    )


def list_metrics(
    reader: MetricReader, text: str, *, window: timedelta, now: datetime
) -> tuple[list[MetricValue], int]:
    """Return the first MAX_METRICS recorded metrics whose names contain the text, with their latest values.

    The second value is the total number of metrics whose names contain the text.
    """
    names = [name for name in reader.names() if text.lower() in name.lower()]
    found = []
    for name in names[:MAX_METRICS]:
        readings = to_readings(reader.read(name, now - window, now))
        values = [format_value(reading.value, reader.unit) for reading in readings]
        found.append((name, ", ".join(values) or "no data"))
    return found, len(names)
