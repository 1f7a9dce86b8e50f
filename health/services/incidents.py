"""Incidents as staff tell them."""

from django.db import transaction

from health.models import Incident, IncidentState


@transaction.atomic
def follow_updates(incident: Incident) -> None:
    """The incident stands where its newest update says; without any it is being investigated."""
    newest = incident.updates.order_by("-at", "-pk").first()
    state = IncidentState(newest.state) if newest else IncidentState.INVESTIGATING
    is_over = state is IncidentState.RESOLVED
    resolved_at = max(newest.at, incident.started_at) if newest and is_over else None
    Incident.objects.filter(pk=incident.pk).update(state=state, resolved_at=resolved_at)
