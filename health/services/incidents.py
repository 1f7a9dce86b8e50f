"""Open, update and resolve incidents."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from health.models import Component, Incident, IncidentState, IncidentUpdate
from health.queries.components import describe_failure, headline
from health.verdict import Status


@transaction.atomic
def sync_with_updates(incident: Incident, *, now: datetime) -> None:
    """Set the state of the incident to that of its newest published update, or to "investigating" if there is none."""
    newest = incident.updates.published(now).order_by("-at", "-pk").first()
    state = IncidentState(newest.state) if newest else IncidentState.INVESTIGATING
    is_resolved = state is IncidentState.RESOLVED
    resolved_at = max(newest.at, incident.started_at) if newest and is_resolved else None
    Incident.objects.filter(pk=incident.pk).update(state=state, resolved_at=resolved_at)


def publish_scheduled_updates(*, now: datetime) -> int:
    """Publish the scheduled updates that are due, and return their number.

    Each incident gets the state of its newest published update.
    """
    count = 0
    for update in IncidentUpdate.objects.due(now).select_related("incident").order_by("at", "pk"):
        with transaction.atomic():
            if IncidentUpdate.objects.due(now).filter(pk=update.pk).update(is_scheduled=False):
                sync_with_updates(update.incident, now=now)
                count += 1
    return count


def open_incident(component: Component, *, now: datetime) -> None:
    """Open an automatic incident for a component that is down, unless one is already open."""
    started_at = component.since or now
    incident, created = Incident.objects.get_or_create(
        component_id=component.pk,
        is_automatic=True,
        resolved_at=None,
        defaults={
            "title": describe_failure(component),
            "is_major": component.is_required,
            "is_public": component.is_public,
            "started_at": started_at,
        },
    )
    if created:
        IncidentUpdate.objects.create(
            incident=incident,
            at=started_at,
            state=IncidentState.INVESTIGATING,
            text="Our monitoring detected an outage. We are investigating.",
        )


def resolve_incidents_of(component: Component, *, now: datetime) -> None:
    """Resolve the component's open automatic incident at the time of the recovery."""
    _resolve(
        Incident.objects.filter(component_id=component.pk),
        at=component.since or now,
        text="Service has been restored.",
    )


def resolve_unmonitored(*, now: datetime) -> None:
    """Resolve automatic incidents whose component was disabled or deleted."""
    _resolve(
        Incident.objects.filter(Q(component=None) | Q(component__is_enabled=False)),
        at=now,
        text="Monitoring of this component was stopped.",
    )


def record_past_outage(
    component: Component, *, started_at: datetime, resolved_at: datetime, text: str
) -> None:
    """Create an automatic incident that is already resolved."""
    incident = Incident.objects.create(
        title=headline(component.title, Status.UNHEALTHY),
        component=component,
        state=IncidentState.RESOLVED,
        is_major=True,
        is_automatic=True,
        is_public=component.is_public,
        started_at=started_at,
        resolved_at=resolved_at,
    )
    IncidentUpdate.objects.create(
        incident=incident, at=resolved_at, state=IncidentState.RESOLVED, text=text
    )


def _resolve(incidents: QuerySet[Incident], *, at: datetime, text: str) -> None:
    for incident in incidents.filter(is_automatic=True, resolved_at=None):
        # A scheduled update would reopen the incident.
        incident.updates.filter(is_scheduled=True).delete()
        Incident.objects.filter(pk=incident.pk).update(state=IncidentState.RESOLVED, resolved_at=at)
        IncidentUpdate.objects.create(
            incident=incident, at=at, state=IncidentState.RESOLVED, text=text
        )
