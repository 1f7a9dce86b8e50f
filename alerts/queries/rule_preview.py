"""What a rule would have done with other limits, going by what it saw in the last days."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.evaluation import Action, Limits, Previous, Stage, advance, decide, judge
from alerts.models import AlertRule, RuleReading

DAYS = 7


@dataclass(frozen=True)
class Preview:
    fired_count: int = 0
    firing_minutes: int = 0
    reading_count: int = 0
    last_fired_at: datetime | None = None


def preview(rule: AlertRule, *, now: datetime) -> Preview:
    """With the limits the (perhaps unsaved) row has now, over the readings of the last seven days."""
    rows = (
        RuleReading.objects.filter(rule_id=rule.pk, at__gte=now - timedelta(days=DAYS))
        .order_by("key", "at")
        .values_list("key", "at", "value", "samples")
    )
    return replay(rows.iterator(), rule.limits())


def replay(
    readings: Iterable[tuple[str, datetime, float | None, int | None]], limits: Limits
) -> Preview:
    """Readings ordered by key and time."""
    fired = firing = count = 0
    last: datetime | None = None
    previous: Previous | None = None
    current = ""
    for key, at, value, samples in readings:
        if key != current:
            current, previous = key, None
        decision = decide(judge(value, samples, limits), value, previous, limits, at)
        previous = advance(previous, decision, at)
        count += 1
        if decision.action in (Action.OPEN, Action.REOPEN):
            fired += 1
            last = max(last or at, at)
        firing += previous is not None and previous.stage is Stage.ACTIVE
    return Preview(fired, firing, count, last)
