"""Describe current problems, most severe first: failing components and active alerts.

Each cause is one problem. An alert or check whose `depends_on` names a failing component is a consequence of that
failure. Other alerts of the same type form one problem, which states their number.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.http import urlencode

from alerts.extension_points import Severity, alert_rules
from alerts.models import AlertType, SystemAlert
from alerts.queries.causes import onset_of_alert
from alerts.queries.impact import alert_impact
from core.lib.app_access import limit
from health.extension_points import health_checks
from health.models import Component
from health.models.components import KEY_PREFIX
from health.queries.components import describe_failures
from health.queries.onset import onset_of_component
from health.verdict import Status, Tone
from impact.causes import Cause, Onset
from impact.queries.causes import find_causes
from impact.queries.summary import Summary
from impact.services.catch_up import catch_up

_RANK = {Tone.CRITICAL: 0, Tone.WARNING: 1}
# An alert that opens within this time after an outage began may be its consequence, so the outage comes first.
CONSEQUENCE_WINDOW = timedelta(hours=1)
MAX_CONSEQUENCES = 3


@dataclass(frozen=True)
class Problem:
    """A failing component, or active alerts with one cause. All fields are ready to display."""

    tone: Tone  # Either CRITICAL or WARNING.
    title: str
    message: str
    since: datetime | None
    url: str = ""
    consequences: str = ""
    is_outage: bool = False
    alerts: tuple[SystemAlert, ...] = ()  # The worst alert comes first.
    component: Component | None = None
    cost: Summary | None = None  # Set by `add_costs` for problems with alerts.


def load_urgent_alerts() -> list[SystemAlert]:
    """Return the active alerts of severity high or critical, worst first."""
    urgent = limit(SystemAlert.objects.active()).filter(
        severity__in=(Severity.CRITICAL, Severity.HIGH)
    )
    return list(urgent.defer("metadata", "references").select_related("rule").worst_first())


def list_problems(failing: Iterable[Component], alerts: Iterable[SystemAlert]) -> list[Problem]:
    """Return a problem for each failing component and for each type of urgent alerts, except for consequences.

    A failing component and the alert about it are one problem. `alerts` must be sorted, worst first.
    """
    failing = list(failing)
    texts = describe_failures(failing)
    urgent = [a for a in alerts if a.severity in (Severity.CRITICAL, Severity.HIGH)]
    alert_of = {alert.key: alert for alert in urgent}
    causes = {c.alert_key for c in failing} | set(alert_of)
    titles: dict[str, list[str]] = {}
    independent: list[Component] = []
    for component in failing:
        check = health_checks.get(component.name) if component.name in health_checks else None
        cause = _find_cause(check.depends_on if check else (), causes)
        if cause:
            titles.setdefault(cause, []).append(texts[component.pk])
        else:
            independent.append(component)
    keys_of_components = _find_keys_of_components(urgent)
    by_type: dict[str, list[SystemAlert]] = {}
    for alert in urgent:
        if alert.key in keys_of_components:
            continue
        name = alert.rule.name if alert.rule else ""
        cause = _find_cause(alert_rules.get(name).depends_on if name in alert_rules else (), causes)
        if cause:
            titles.setdefault(cause, []).append(alert.title)
        else:
            by_type.setdefault(alert.alert_type, []).append(alert)
    others = [alert for group in by_type.values() for alert in group]
    problems = [
        _problem_of(c, texts[c.pk], alert_of.get(c.alert_key), titles.get(c.alert_key, []))
        for c in independent
    ]
    is_grouped = any(len(group) > 1 for group in by_type.values())
    names = dict(AlertType.objects.values_list("slug", "name")) if is_grouped else {}
    problems += [
        _problem_of_alerts(group, names.get(type_, type_), titles)
        for type_, group in by_type.items()
    ]
    return sorted(problems, key=lambda one: _order(one, others))


def _find_cause(depends_on: Iterable[str], causes: Collection[str]) -> str:
    return next((key for name in depends_on if (key := f"{KEY_PREFIX}{name}") in causes), "")


def _find_keys_of_components(alerts: Iterable[SystemAlert]) -> set[str]:
    """Return the keys of the alerts about components in use, regardless of their status."""
    names = {
        alert.key.removeprefix(KEY_PREFIX) for alert in alerts if alert.key.startswith(KEY_PREFIX)
    }
    known = Component.objects.in_use().filter(name__in=names) if names else ()
    return {component.alert_key for component in known}


def _problem_of(
    component: Component, text: str, alert: SystemAlert | None, consequences: Sequence[str]
) -> Problem:
    is_down = component.status == Status.UNHEALTHY
    return Problem(
        Tone.CRITICAL if is_down and component.is_required else Tone.WARNING,
        text,
        component.last_message,
        component.since,
        alert.get_absolute_url() if alert else "",
        _join(consequences),
        is_outage=is_down,
        alerts=(alert,) if alert else (),
        component=component,
    )


def _problem_of_alerts(
    worst_first: Sequence[SystemAlert], type_name: str, consequences_of: Mapping[str, list[str]]
) -> Problem:
    worst = worst_first[0]
    problem = Problem(
        Tone.CRITICAL if worst.severity == Severity.CRITICAL else Tone.WARNING,
        worst.title,
        worst.message,
        min(alert.opened_at for alert in worst_first),
        worst.get_absolute_url(),
        _join([title for alert in worst_first for title in consequences_of.get(alert.key, [])]),
        alerts=tuple(worst_first),
    )
    if len(worst_first) == 1:
        return problem
    return replace(
        problem,
        title=f"{type_name}: {len(worst_first)} alerts",
        message=f"The worst: {worst.title}. {worst.message}",
        url=f"{reverse('alerts:alert-list')}?{urlencode({'type': worst.alert_type})}",
    )


def _join(titles: Sequence[str]) -> str:
    shown = ", ".join(titles[:MAX_CONSEQUENCES])
    more = len(titles) - MAX_CONSEQUENCES
    return f"{shown} and {more} more" if more > 0 else shown


def _order(problem: Problem, others: Iterable[SystemAlert]) -> tuple[object, ...]:
    """Return a sort key: by severity, and with an outage before alerts that may be its consequences."""
    rank = _RANK[problem.tone]
    since = problem.since
    if problem.is_outage and since is not None:
        ends = since + CONSEQUENCE_WINDOW
        if any(a.severity == Severity.CRITICAL and since <= a.opened_at <= ends for a in others):
            rank = _RANK[Tone.CRITICAL]
    return (rank, not problem.is_outage, since is None, since)


def worst_tone(problems: Iterable[Problem]) -> Tone:
    """Return the tone of the worst problem, or OK if there is no problem."""
    return min((one.tone for one in problems), key=_RANK.__getitem__, default=Tone.OK)


def add_costs(problems: Sequence[Problem], *, now: datetime) -> list[Problem]:
    """Return the problems with the cost of their alerts, as the pages of the alerts show it.

    Only the first problem gets an estimate, because several estimates for the same time would look like different
    losses.
    """
    is_caught_up = catch_up()
    return [
        replace(
            one,
            cost=alert_impact(
                *one.alerts, now=now, is_estimated=place == 0, is_caught_up=is_caught_up
            ),
        )
        if one.alerts
        else one
        for place, one in enumerate(problems)
    ]


def find_cause(problem: Problem) -> Cause | None:
    """Return the most likely cause of the problem, or None. The page of its first alert lists this cause first."""
    if problem.alerts:
        onset: Onset | None = onset_of_alert(problem.alerts[0])
    elif problem.component is not None and problem.since is not None:
        onset = onset_of_component(problem.component, at=problem.since)
    else:
        return None
    return next(iter(find_causes(onset)), None)
