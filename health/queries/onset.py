"""Find when and where an incident or an outage began. The search for possible causes starts there."""

from datetime import datetime

from alerts.queries.causes import component_subject
from health.models import Component, Incident
from health.queries.components import apps_of
from impact.causes import Onset


def onset_of_component(component: Component, *, at: datetime, text: str = "") -> Onset:
    """Return the onset of the component's outage, which began at `at`."""
    name = component_subject(component.name)
    return Onset(
        at=at,
        app_ids=frozenset(app.pk for app in apps_of(component)),
        subjects=frozenset({name}),
        own=frozenset({name}),
        text="\n".join([text, component.title, component.last_message]),
    )


def onset_of_incident(incident: Incident) -> Onset:
    """Return when and where the incident began. If it has no component, only its time and title are known."""
    if incident.component is None:
        own = frozenset({incident_identity(incident)})
        return Onset(at=incident.started_at, own=own, text=incident.title)
    return onset_of_component(incident.component, at=incident.started_at, text=incident.title)


def incident_identity(incident: Incident) -> str:
    """Return the key of an incident among possible causes.

    The key contains the component or, without a component, the incident's id.
    """
    if incident.component is None:
        return f"incident {incident.pk}"
    return component_subject(incident.component.name)
