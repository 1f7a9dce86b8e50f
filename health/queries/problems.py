"""Describe current problems, most severe first: failing components and active alerts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alerts.extension_points import Severity
from alerts.models import SystemAlert
from alerts.queries.impact import alert_impact
from health.models import Component
from health.verdict import Status, Tone
from impact.queries.summary import Summary
from impact.services.catch_up import catch_up

_RANK = {Tone.CRITICAL: 0, Tone.WARNING: 1}


@dataclass(frozen=True)
class Problem:
    """A failing component or an active alert, ready to display."""

    tone: Tone  # CRITICAL or WARNING
    title: str
    message: str
    since: datetime | None
    url: str = ""
    alert: SystemAlert | None = None
    cost: Summary | None = None  # of the alert, if it affects orders


def list_problems(components: Iterable[Component], alerts: Iterable[SystemAlert]) -> list[Problem]:
    """Return one problem per failing component and per alert of severity high or critical.

    A failing component and the alert about it are the same problem.
    """
    components, alerts = list(components), list(alerts)
    by_key = {alert.key: alert for alert in alerts}
    problems = [
        _problem_of(component, by_key.get(component.alert_key))
        for component in components
        if component.status in (Status.UNHEALTHY, Status.DEGRADED)
    ]
    keys_of_components = {component.alert_key for component in components}
    problems += [
        Problem(
            Tone.CRITICAL if alert.severity == Severity.CRITICAL else Tone.WARNING,
            alert.title,
            alert.message,
            alert.opened_at,
            alert.get_absolute_url(),
            alert,
        )
        for alert in alerts
        if alert.key not in keys_of_components
        and alert.severity in (Severity.CRITICAL, Severity.HIGH)
    ]
    return sorted(problems, key=lambda one: (_RANK[one.tone], one.since is None, one.since))


def _problem_of(component: Component, alert: SystemAlert | None) -> Problem:
    is_down = component.status == Status.UNHEALTHY
    return Problem(
        Tone.CRITICAL if is_down and component.is_required else Tone.WARNING,
        component.problem_title,
        component.last_message,
        component.since,
        alert.get_absolute_url() if alert else "",
        alert,
    )


def add_costs(problems: Sequence[Problem], *, now: datetime) -> list[Problem]:
    """Return the problems with what their alerts cost, the same figures as on the pages of the alerts.

    Only the first one gets an estimate, because several estimates of the same time would look like different losses.
    """
    is_caught_up = catch_up()
    return [
        replace(
            one,
            cost=alert_impact(
                one.alert, now=now, is_estimated=place == 0, is_caught_up=is_caught_up
            ),
        )
        if one.alert
        else one
        for place, one in enumerate(problems)
    ]
