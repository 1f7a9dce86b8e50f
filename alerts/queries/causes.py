"""Determine the onset of an alert's problem. The search for possible causes starts there."""

from dataclasses import replace
from datetime import datetime, timedelta

from alerts.extension_points import alert_rules
from alerts.models import SystemAlert
from alerts.queries.apps import find_named_apps
from alerts.queries.impact import describe_alert
from impact.causes import Onset
from impact.extension_points import Problem, problem_sources
from impact.queries.causes import subject

MAX_UNCERTAINTY = timedelta(hours=1)
# Only this many of the problems that a rule counted are searched for an onset.
MAX_PROBLEMS = 20
COMPONENT_KEY = "health:"  # Prefix of the keys of alerts about components.


def component_subject(name: str) -> str:
    """Return the identifier of a component that changes and problems share, such as "component stripe"."""
    return f"component {name}"


def onset_of_alert(alert: SystemAlert) -> Onset:
    """Return the time and place at which the problem of the alert began.

    If the rule counted error groups, the result is the onset of the first of them that began within the rule's window
    (at most the last hour) before the opening. Most rules list the most frequent group first, and MAX_PROBLEMS groups
    are searched. Otherwise, the result is the opening of the alert, which is uncertain by the same time.
    """
    rule = alert.rule
    window = min(rule.window, MAX_UNCERTAINTY) if rule else timedelta(0)
    subjects = {f"{name} {value}" for name, value in alert.labels.items()}
    own = {f"group {alert.labels['group']}"} if "group" in alert.labels else set()
    if alert.key.startswith(COMPONENT_KEY):
        name = alert.key.removeprefix(COMPONENT_KEY)
        subjects.add(component_subject(name))
        own.add(component_subject(name))
    if rule is not None:
        subjects.add(subject("alerts.alertrule", rule.pk))
        if rule.name in alert_rules:
            subjects.update(map(component_subject, alert_rules.get(rule.name).depends_on))
    app_ids = find_named_apps(alert.labels, alert.metadata)
    if alert.app_id is not None:
        app_ids.add(alert.app_id)
    environment = alert.metadata.get("environment")
    if app_ids and alert.labels.get("name"):
        own.update(f"series {pk} {alert.labels['name']}" for pk in app_ids)
    onset = Onset(
        at=alert.opened_at,
        uncertainty=window,
        app_ids=frozenset(app_ids),
        environments=frozenset([environment] if environment else []),
        subjects=frozenset(subjects),
        own=frozenset(own),
        text=f"{alert.title}\n{alert.message}",
    )
    counted = _first_counted(alert, since=alert.opened_at - window) if rule else None
    if counted is None:
        return onset
    return replace(
        onset,
        at=counted.at,
        uncertainty=counted.uncertainty,
        app_ids=onset.app_ids or counted.app_ids,
        environments=onset.environments or counted.environments,
        releases=counted.releases,
        text=f"{onset.text}\n{counted.text}",
    )


def _first_counted(alert: SystemAlert, *, since: datetime) -> Onset | None:
    """Return the onset of the first counted problem that began between `since` and the opening, or None."""
    problems = describe_alert(alert, now=alert.opened_at).problems
    own = Problem("alert", alert.pk)
    for kind, id in [problem for problem in problems if problem != own][:MAX_PROBLEMS]:
        find = problem_sources.get(kind).onset
        found = find(id) if find else None
        if found is not None and since <= found.at <= alert.opened_at:
            return found
    return None
