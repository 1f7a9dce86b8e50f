"""Whether a silence is in force, and what it matches: pure, so that a night of clock changes can be tried."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from alerts.models import Recurrence, Silence, SystemAlert

MATCHABLE = ("rule", "severity", "alert_type", "source", "key")


def properties(alert: SystemAlert) -> dict[str, str]:
    """What matchers can ask of an alert."""
    return {
        "rule": alert.rule.name if alert.rule else "",
        "severity": alert.severity,
        "alert_type": alert.alert_type,
        "source": alert.source,
        "key": alert.key,
    }


def matches(matchers: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    """All matchers match; one that asks for something unknown never does."""
    return all(
        name in facts and fnmatchcase(facts[name], pattern) for name, pattern in matchers.items()
    )


def read_matchers(value: object) -> dict[str, str]:
    """What somebody wrote as matchers. Raises ValueError with a sentence for them."""
    if not isinstance(value, dict):
        raise ValueError('Write an object such as {"rule": "errors.*"}.')
    for name, pattern in value.items():
        if name not in MATCHABLE:
            raise ValueError(f"There is no {name!r} to match; there are {', '.join(MATCHABLE)}.")
        if not isinstance(pattern, str):
            raise ValueError(f"What {name} is compared with must be a text.")
    return value


def end_of(silence: Silence, now: datetime) -> datetime | None:
    """When the silence that is in force at `now` ends; None when it is not in force.

    A recurring one starts at the same wall-clock time in its zone, whatever summer time does, and lasts as long.
    """
    length = silence.ends_at - silence.starts_at
    if silence.recurrence == Recurrence.ONCE:
        return silence.ends_at if silence.starts_at <= now < silence.ends_at else None
    zone = ZoneInfo(silence.time_zone)
    first = silence.starts_at.astimezone(zone)
    today = now.astimezone(zone).date()
    step = 7 if silence.recurrence == Recurrence.WEEKLY else 1
    for days_back in range(length.days + 2):
        day = today - timedelta(days=days_back)
        if day < first.date() or (day - first.date()).days % step:
            continue
        # In UTC, where comparing and adding are about real time and not about wall clocks.
        start = first.replace(year=day.year, month=day.month, day=day.day, fold=0).astimezone(UTC)
        if silence.until and start >= silence.until:
            continue
        end = start + length
        if start <= now < end:
            return end
    return None


def silence_for(
    alert: SystemAlert, now: datetime, silences: Iterable[Silence] | None = None
) -> tuple[Silence, datetime] | None:
    """The silence that keeps the alert from being announced, with its end; the one that ends last."""
    if silences is None:
        silences = Silence.objects.current_or_recurring(now)
    facts = properties(alert)
    in_force = [
        (silence, end)
        for silence in silences
        if (end := end_of(silence, now)) and matches(silence.matchers, facts)
    ]
    return max(in_force, key=lambda pair: pair[1], default=None)
