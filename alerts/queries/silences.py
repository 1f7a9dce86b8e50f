"""Find the silences in force and the alerts that they match."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from alerts.models import Silence, SystemAlert
from core.lib import app_access

MATCHABLE_FIELDS = ("rule", "severity", "alert_type", "source", "key")


def get_match_values(alert: SystemAlert) -> dict[str, str]:
    """Return the values of the alert that matchers are compared with."""
    return {
        "rule": alert.rule.name if alert.rule else "",
        "severity": alert.severity,
        "alert_type": alert.alert_type,
        "source": alert.source,
        "key": alert.key,
    }


def matches(matchers: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """Return True if all matchers match the values. A matcher for an unknown field never matches."""
    return all(
        name in values and fnmatchcase(values[name], pattern) for name, pattern in matchers.items()
    )


def find_silence(alert: SystemAlert, now: datetime) -> tuple[Silence, datetime] | None:
    """Return the silence in force that matches the alert and the end of its occurrence, or None.

    If several silences match, the one that ends last is returned.
    """
    values = get_match_values(alert)
    in_force = [
        (silence, end)
        for silence in Silence.objects.current_or_recurring(now)
        if (end := silence.active_until(now)) and matches(silence.matchers, values)
    ]
    return max(in_force, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class InForce:
    """A silence or maintenance window that is in force, and the end of its current occurrence."""

    silence: Silence
    ends_at: datetime


def silences_in_force(now: datetime) -> list[InForce]:
    """Return the silences that are in force, latest end first."""
    found = [
        InForce(silence, end)
        for silence in Silence.objects.current_or_recurring(now).order_by("pk")
        if (end := silence.active_until(now))
    ]
    return sorted(found, key=lambda one: one.ends_at, reverse=True)


def find_matching_alerts(
    matchers: Mapping[str, str], limit: int = 10
) -> tuple[int, list[SystemAlert]]:
    """Return the number of matching active alerts that the reader may see, and the `limit` most severe of them."""
    visible = app_access.limit(SystemAlert.objects.active())
    found = [
        alert
        for alert in visible.select_related("rule").worst_first()
        if matches(matchers, get_match_values(alert))
    ]
    return len(found), found[:limit]
