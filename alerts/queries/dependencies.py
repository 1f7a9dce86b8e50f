"""Find the alert that explains another alert."""

from datetime import datetime

from alerts.models import ACTIVE_STATES, AlertState, Dependency, SystemAlert
from alerts.queries.silences import find_silence, get_match_values, matches


def find_cause(alert: SystemAlert, now: datetime) -> SystemAlert | None:
    """Return the alert that causes this one according to a dependency, or None.

    The cause must be open, acknowledged or dismissed, and must be announced or silenced. Otherwise, two alerts that
    depend on each other could prevent each other from being announced.
    """
    values = get_match_values(alert)
    rules = [
        one
        for one in Dependency.objects.filter(is_enabled=True)
        if one.cause and matches(one.matchers, values)
    ]
    if not rules:
        return None
    active = SystemAlert.objects.filter(state__in=[*ACTIVE_STATES, AlertState.DISMISSED])
    for other in active.exclude(pk=alert.pk).select_related("rule").order_by("pk"):
        other_values = get_match_values(other)
        if any(matches(one.cause, other_values) for one in rules) and (
            other.is_announced or find_silence(other, now)
        ):
            return other
    return None


def is_held_back(alert: SystemAlert, now: datetime) -> bool:
    """Return True if a silence or a dependency holds back the messages about the alert."""
    return find_silence(alert, now) is not None or find_cause(alert, now) is not None
