"""Describe incidents as problems. Incidents affect orders through the alerts about their components."""

from django.urls import reverse
from django.utils import timezone

from core.lib.app_access import limit
from health.models import Incident
from health.queries.incident_impact import INCIDENT, describe_incident
from health.queries.onset import onset_of_incident
from impact.causes import Onset
from impact.extension_points import Description, Page, problem_source


def describe(id: int) -> Description | None:
    incident = limit(Incident.objects.select_related("component").filter(pk=id)).first()
    if incident is None:
        return None
    url = reverse("admin:health_incident_change", args=[incident.pk])
    return describe_incident(incident, now=timezone.now(), url=url)


def onset(id: int) -> Onset | None:
    incident = limit(Incident.objects.select_related("component").filter(pk=id)).first()
    return onset_of_incident(incident) if incident else None


@problem_source(INCIDENT, describe=describe, onset=onset)
def nothing_of_their_own(first: int, last: int, limit: int) -> Page:
    """Return no mentions of orders.

    The alerts about an incident's component contain the mentions.
    """
    return Page()
