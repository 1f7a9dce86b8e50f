"""Preview of a rule: how often it would have fired with other limits during the last days."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.evaluation import Action, Limits, PreviousState, Stage, advance, decide, judge
from alerts.models import AlertRule, RuleReading

PREVIEW_DAYS = 7


@dataclass(frozen=True)
class Preview:
    fired_count: int = 0
    firing_minutes: int = 0
    reading_count: int = 0
    last_fired_at: datetime | None = None


def preview_rule(rule: AlertRule, *, now: datetime) -> Preview:
    """Apply the limits of the row, saved or not, to its readings of the last seven days."""
    rows = (
        RuleReading.objects.filter(rule_id=rule.pk, at__gte=now - timedelta(days=PREVIEW_DAYS))
        .order_by("key", "at")
        .values_list("key", "at", "value", "samples")
    )
    return replay(rows.iterator(), rule.get_limits())


def replay(
    readings: Iterable[tuple[str, datetime, float | None, int | None]], limits: Limits
) -> Preview:
    """Apply the limits to readings, which must be ordered by key and time."""
    fired_count = firing_minutes = reading_count = 0
    last_fired_at: datetime | None = None
    previous: PreviousState | None = None
    current_key = ""
    for key, at, value, samples in readings:
        if key != current_key:
            current_key, previous = key, None
        decision = decide(judge(value, samples, limits), value, previous, limits, at)
        previous = advance(previous, decision, at)
        reading_count += 1
        if decision.action in (Action.OPEN, Action.REOPEN):
            fired_count += 1
            last_fired_at = max(last_fired_at or at, at)
        firing_minutes += previous is not None and previous.stage is Stage.ACTIVE
    return Preview(fired_count, firing_minutes, reading_count, last_fired_at)
