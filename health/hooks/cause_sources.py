"""Report possible causes of a problem: outages, maintenance, slow or failing calls, traffic and edited monitors."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import reverse

from alerts.queries.causes import component_subject
from core.lib.app_access import limit
from health.models import Component, Incident, MaintenanceWindow
from health.queries import call_steps
from health.queries.components import app_ids_of_components, headline
from health.queries.onset import incident_identity
from health.verdict import Status
from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source
from impact.queries.causes import list_edits

MAX_OF_A_KIND = 30
MODELS = {
    "health.monitor": "Monitor",
    "health.heartbeat": "Heartbeat",
    "health.component": "Check",
    "health.maintenancewindow": "Maintenance window",
}


@cause_source("health.outages")
def outages(onset: Onset) -> Iterator[Change]:
    """Yield incidents and degraded components, which have no incident."""
    incidents = limit(
        Incident.objects.filter(started_at__gte=onset.since, started_at__lte=onset.until)
    ).select_related("component")
    found = list(incidents.newest_first()[:MAX_OF_A_KIND])
    degraded = list(
        limit(
            Component.objects.filter(
                is_enabled=True,
                status=Status.DEGRADED,
                since__gte=onset.since,
                since__lte=onset.until,
            )
        )[:MAX_OF_A_KIND]
    )
    concerned = [one.component for one in found if one.component] + degraded
    app_ids = app_ids_of_components(concerned) if concerned else {}
    for incident in found:
        component = incident.component
        if component is None and incident.started_at > onset.at:
            continue  # Staff probably opened this incident because of the problem, so it is not a cause.
        yield Change(
            CauseKind.OUTAGE,
            incident.title,
            incident.started_at,
            until=incident.resolved_at,
            url=reverse("admin:health_incident_change", args=[incident.pk]),
            app_id=app_ids.get(component.pk) if component else None,
            **(
                _component_fields(component)
                if component
                else {"identity": incident_identity(incident)}
            ),
        )
    for component in degraded:
        if component.since is not None:
            yield Change(
                CauseKind.OUTAGE,
                headline(str(component), Status.DEGRADED),
                component.since,
                url=reverse("health:uptime"),
                app_id=app_ids.get(component.pk),
                **_component_fields(component),
            )


def _component_fields(component: Component) -> dict[str, Any]:
    subject = component_subject(component.name)
    return {
        "identity": subject,
        "subjects": frozenset({subject}),
        "names": (component.name, component.title),
    }


@cause_source("health.maintenance")
def maintenance(onset: Onset) -> Iterator[Change]:
    windows = MaintenanceWindow.objects.filter(
        starts_at__gte=onset.since, starts_at__lte=onset.at
    ).prefetch_related("components")
    for window in windows.order_by("-starts_at")[:MAX_OF_A_KIND]:
        components = list(window.components.all())
        yield Change(
            CauseKind.MAINTENANCE,
            f"Maintenance: {window.title}",
            window.starts_at,
            until=window.ends_at,
            url=reverse("admin:health_maintenancewindow_change", args=[window.pk]),
            subjects=frozenset(component_subject(one.name) for one in components),
            names=tuple(name for one in components for name in (one.name, one.title)),
        )


@cause_source("health.settings")
def settings(onset: Onset) -> Iterator[Change]:
    return list_edits(onset, MODELS, about=_about)


def _about(row: Any) -> Iterable[str]:
    if isinstance(row, Component):
        return [component_subject(row.name)]
    return [component_subject(one.name) for one in row.components.all()]


@cause_source("health.dependencies")
def dependencies(onset: Onset) -> Iterator[Change]:
    """Yield the functions that became slower or began to fail shortly before the problem."""
    for step in call_steps.find_slower_calls(onset.at):
        yield Change(
            CauseKind.DEPENDENCY,
            step.text,
            step.at,
            url=reverse("health:system-health"),
            app_id=step.app_id,
            environment=step.environment,
            identity=f"series {step.app_id} {step.name}",
            subjects=frozenset({f"function {step.name}"}),
            names=(step.name,),
            factor=step.factor,
        )


@cause_source("health.traffic")
def traffic(onset: Onset) -> Iterator[Change]:
    """Yield the apps whose number of requests rose or fell strongly shortly before the problem."""
    for step in call_steps.find_traffic_steps(onset.at):
        yield Change(
            CauseKind.TRAFFIC,
            step.text,
            step.at,
            url=reverse("health:system-health"),
            app_id=step.app_id,
            environment=step.environment,
            factor=step.factor,
        )
