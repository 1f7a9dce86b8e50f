"""Whether a silence is in force, and what it matches: pure, so that a night of clock changes can be tried."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from alerts.models import Silence, SystemAlert

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
        if (end := silence.active_until(now)) and matches(silence.matchers, facts)
    ]
    return max(in_force, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class InForce:
    """A silence or maintenance window that goes on now."""

    silence: Silence
    ends_at: datetime


def silences_in_force(now: datetime) -> list[InForce]:
    """Those that keep people from being told now, the one that ends last first."""
    found = [
        InForce(silence, end)
        for silence in Silence.objects.current_or_recurring(now).order_by("pk")
        if (end := silence.active_until(now))
    ]
    return sorted(found, key=lambda one: one.ends_at, reverse=True)


def matched_by(matchers: Mapping[str, str], limit: int = 10) -> tuple[int, list[SystemAlert]]:
    """How many active alerts a silence with these matchers would keep quiet, and the worst of them."""
    found = [
        alert
        for alert in SystemAlert.objects.active().select_related("rule").worst_first()
        if matches(matchers, properties(alert))
    ]
    return len(found), found[:limit]
