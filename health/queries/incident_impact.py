"""Compute the cost of an incident from the alerts about its component."""

from datetime import datetime

from alerts.models import SystemAlert
from alerts.queries.impact import describe_alert
from health.models import Incident
from impact.extension_points import Description, Problem
from impact.queries.summary import Summary, summarize

INCIDENT = "incident"


def describe_incident(incident: Incident, *, now: datetime, url: str) -> Description:
    """Describe the incident for the computation of its cost.

    The problems are the incident itself, and the alerts about its component that were active during the incident.
    """
    until = incident.resolved_at or now
    problems = [Problem(INCIDENT, incident.pk)]
    if incident.component is not None:
        alerts = (
            SystemAlert.objects.visible()
            .filter(key=incident.component.alert_key, opened_at__lte=until)
            .exclude(resolved_at__lt=incident.started_at)
        )
        for alert in alerts.select_related("rule"):
            problems += describe_alert(alert, now=now).problems
    return Description(
        title=incident.title,
        url=url,
        problems=tuple(dict.fromkeys(problems)),
        since=incident.started_at,
        until=incident.resolved_at,
        permission="health.view_incident",
    )


def incident_impact(incident: Incident, *, now: datetime, url: str) -> Summary:
    """Return the cost of the incident: exact figures from references, and an estimate for its duration."""
    description = describe_incident(incident, now=now, url=url)
    return summarize(INCIDENT, incident.pk, description, now=now, is_estimated=True)
