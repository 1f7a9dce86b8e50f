"""Describe the orders that an alert affects, and compute the cost of its problem."""

import dataclasses
from datetime import datetime, timedelta

from alerts.extension_points import alert_rules
from alerts.models import SystemAlert
from impact.extension_points import Description, Problem
from impact.queries.summary import Summary, summarize
from impact.references import References

ALERT = "alert"


def describe_alert(alert: SystemAlert, *, now: datetime) -> Description:
    """Return the problems whose orders the alert affects, and the period of the alert.

    The period begins one window of the rule before the alert opened, because the problem began within this window.
    """
    window = alert.rule.window if alert.rule else timedelta(0)
    since, until = alert.opened_at - window, alert.resolved_at or now
    problems = [Problem(ALERT, alert.pk)]
    if alert.rule and alert.rule.name in alert_rules:
        find = alert_rules.get(alert.rule.name).problems
        if find is not None:
            problems += find(alert.labels, since, until)
    return Description(
        title=alert.title,
        url=alert.get_absolute_url(),
        problems=tuple(problems),
        since=since,
        until=alert.resolved_at,
        permission="alerts.view_systemalert",
    )


def alert_impact(
    alert: SystemAlert,
    *others: SystemAlert,
    now: datetime,
    is_estimated: bool = True,
    is_caught_up: bool = False,
) -> Summary:
    """Return the cost of the alert: exact figures for its references, and an estimate for its period.

    `others` are alerts with the same cause. Their orders are included, and each order is counted once. The period
    begins with the earliest alert.
    """
    description = describe_alert(alert, now=now)
    for other in others:
        more = describe_alert(other, now=now)
        starts = [at for at in (description.since, more.since) if at]
        description = dataclasses.replace(
            description,
            problems=(*description.problems, *more.problems),
            since=min(starts, default=None),
        )
    return summarize(
        ALERT, alert.pk, description, now=now, is_estimated=is_estimated, is_caught_up=is_caught_up
    )


def references_to_json(references: References | None) -> dict[str, object]:
    """Convert references to JSON types for the row of an alert. `references_from_json` reverses the conversion."""
    if references is None:
        return {}
    return {name: sorted(value) for name, value in dataclasses.asdict(references).items() if value}


def references_from_json(stored: dict[str, object]) -> References:
    """Return the references in the row of an alert. Old rows also contain times, which are ignored."""
    return References(
        **{
            name: frozenset(map(str, values))
            for name, values in stored.items()
            if isinstance(values, list)
        }
    )
