"""What follows when a component turns: an alert, and an incident where the public may see it."""

from datetime import datetime

from django.db.models import Q

from alerts.impact import References
from alerts.models import SystemAlert
from alerts.rules import Severity
from alerts.services import clear_problem, report_problem
from health.models import Component, ComponentKind, Incident, IncidentState, IncidentUpdate
from health.verdict import Status

FAILING = (Status.DEGRADED, Status.UNHEALTHY)
# Alert types of the requirements; what is not here has a type by its kind.
ALERT_TYPES = {"database": "database-down"}
_KIND_TYPES = {
    ComponentKind.CHECK.value: "failed-check",
    ComponentKind.MONITOR.value: "monitor-down",
    ComponentKind.HEARTBEAT.value: "missed-heartbeat",
}
_PREFIX = "health:"
_OWN_NETWORK = "health:own-network"


def problem_key(component: Component) -> str:
    return f"{_PREFIX}{component.name}"


def announce(component: Component, *, before: Status, now: datetime) -> None:
    """Report a failing component (again, as long as it fails), clear one that recovered. Inside the caller's transaction.

    It looks at the state and not only at the moment it turned: a failure that began under maintenance is told at its end.
    """
    status = Status(component.status)
    if status in FAILING:
        _report(component, status, now)
        component.is_alerted = True
        if status is Status.UNHEALTHY:
            _open_incident(component, now)
    elif component.is_alerted or before in FAILING:
        clear_problem(key=problem_key(component), now=now)
        component.is_alerted = False
    if status is not Status.UNHEALTHY:
        _close_incident(component, now)


def _report(component: Component, status: Status, now: datetime) -> None:
    if status is Status.DEGRADED:
        severity = Severity.MEDIUM
    else:
        severity = Severity.CRITICAL if component.is_required else Severity.HIGH
    report_problem(
        key=problem_key(component),
        alert_type=ALERT_TYPES.get(component.name, _KIND_TYPES[component.kind]),
        title=f"{component.title} is {component.get_status_display().lower()}",
        message=component.last_message,
        severity=severity,
        source="health",
        now=now,
        metadata={"component": component.name, "since": component.since},
        references=References(since=component.since, until=now),
    )


def _open_incident(component: Component, now: datetime) -> None:
    started_at = component.since or now
    incident, created = Incident.objects.get_or_create(
        component_id=component.pk,
        is_automatic=True,
        resolved_at=None,
        defaults={
            "title": f"{component.title} is down",
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
            text="Our checks found it not working. We are looking into it.",
        )


def _close_incident(component: Component, now: datetime) -> None:
    for incident in Incident.objects.filter(
        component_id=component.pk, is_automatic=True, resolved_at=None
    ):
        Incident.objects.filter(pk=incident.pk).update(
            state=IncidentState.RESOLVED, resolved_at=component.since or now
        )
        IncidentUpdate.objects.create(
            incident=incident,
            at=component.since or now,
            state=IncidentState.RESOLVED,
            text="Our checks find it working again.",
        )


def end_of_retired(*, now: datetime) -> int:
    """Nobody looks any more whether what was switched off or removed works; so its alert and its incident end."""
    watched = set(Component.objects.filter(is_enabled=True).values_list("name", flat=True))
    types = [*ALERT_TYPES.values(), *_KIND_TYPES.values()]
    ours = SystemAlert.objects.unresolved().filter(alert_type__in=types, source="health")
    retired = [
        key
        for key in ours.values_list("key", flat=True)
        if key.removeprefix(_PREFIX) not in watched
    ]
    for key in retired:
        clear_problem(key=key, now=now, text="it is not watched any more")
    Component.objects.filter(is_enabled=False, is_alerted=True).update(is_alerted=False)
    open_incidents = Incident.objects.filter(is_automatic=True, resolved_at=None)
    for incident in open_incidents.filter(Q(component=None) | Q(component__is_enabled=False)):
        Incident.objects.filter(pk=incident.pk).update(
            state=IncidentState.RESOLVED, resolved_at=now
        )
        IncidentUpdate.objects.create(
            incident=incident,
            at=now,
            state=IncidentState.RESOLVED,
            text="This is not watched any more.",
        )
    return len(retired)


def report_own_network(is_cut_off: bool, *, now: datetime) -> None:
    """One alert when it is our own network that is down, in place of one for everything outside."""
    if not is_cut_off:
        clear_problem(key=_OWN_NETWORK, now=now)
        return
    report_problem(
        key=_OWN_NETWORK,
        alert_type="own-network-down",
        title="The portal's own network is down",
        message="Nothing outside answers, not even the addresses asked for comparison."
        " Outside monitors say nothing until it is back.",
        severity=Severity.CRITICAL,
        source="health",
        now=now,
    )
