"""Describe current problems, most severe first: failing components and active alerts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.extension_points import References, Severity
from alerts.models import SystemAlert
from alerts.queries.impact import impact_of
from core.lib import formats
from health.models import Component
from health.verdict import Status, Tone

_RANK = {Tone.CRITICAL: 0, Tone.WARNING: 1}


@dataclass(frozen=True)
class Problem:
    """A failing component or an active alert, ready to display."""

    tone: Tone  # CRITICAL or WARNING
    title: str
    message: str
    since: datetime | None
    url: str = ""


def list_problems(components: Iterable[Component], alerts: Iterable[SystemAlert]) -> list[Problem]:
    """Return one problem per failing component and per alert of severity high or critical.

    A failing component and the alert about it are the same problem.
    """
    components = list(components)
    problems = [
        _problem_of(c) for c in components if c.status in (Status.UNHEALTHY, Status.DEGRADED)
    ]
    keys_of_components = {component.alert_key for component in components}
    problems += [
        Problem(
            Tone.CRITICAL if alert.severity == Severity.CRITICAL else Tone.WARNING,
            alert.title,
            alert.message,
            alert.opened_at,
            alert.get_absolute_url(),
        )
        for alert in alerts
        if alert.key not in keys_of_components
        and alert.severity in (Severity.CRITICAL, Severity.HIGH)
    ]
    return sorted(problems, key=lambda one: (_RANK[one.tone], one.since is None, one.since))


def _problem_of(component: Component) -> Problem:
    is_down = component.status == Status.UNHEALTHY
    return Problem(
        Tone.CRITICAL if is_down and component.is_required else Tone.WARNING,
        component.problem_title,
        component.last_message,
        component.since,
    )


def describe_impact(problems: Sequence[Problem], *, now: datetime) -> str:
    """Return the business impact of the critical problems as text: money at risk, seats, payments; "" if unknown."""
    since = min(
        (one.since for one in problems if one.since and one.tone is Tone.CRITICAL), default=None
    )
    if since is None:
        return ""
    found = impact_of(References(since=since, until=now))
    parts = [
        f"{formats.money(amount, currency)} at risk"
        for currency, amount in sorted(found.amount_at_risk.items())
    ]
    if found.seats:
        parts.append(f"{found.seats} seats")
    if found.touched:
        parts.append(f"{len(found.touched)} payments and reservations affected")
    return ", ".join(parts)
