"""Update alerts and incidents when the status of a component changes."""

from datetime import datetime

from alerts.extension_points import Severity
from alerts.models import SystemAlert
from alerts.services import clear_problem, report_problem
from health.extension_points import OWN_NETWORK, health_checks
from health.models import Component, ComponentKind, Monitor
from health.queries.components import apps_of, describe_failure
from health.services import incidents
from health.verdict import Status
from impact.references import References

FAILING = (Status.DEGRADED, Status.UNHEALTHY)
# The database has its own alert type. Other components have the alert type of their kind.
DATABASE_DOWN = "database-down"
ALERT_TYPES = {"database": DATABASE_DOWN}
_KIND_ALERT_TYPES = {
    ComponentKind.CHECK.value: "failed-check",
    ComponentKind.MONITOR.value: "monitor-down",
    ComponentKind.HEARTBEAT.value: "missed-heartbeat",
    ComponentKind.CERTIFICATE.value: "certificate-expiry",
}
_OWN_NETWORK_KEY = f"health:{OWN_NETWORK}"


def update_alert_and_incident(
    component: Component, *, status_before: Status, now: datetime
) -> None:
    """Open or update the alert and the incident of a failing component, or resolve them after a recovery.

    The caller runs this function in a transaction. Each failing result reports the problem, not only the first one
    after a change of status. A failure that began during maintenance therefore opens its alert as soon as the
    maintenance window has ended.
    """
    status = Status(component.status)
    if status in FAILING:
        _report(component, status, now)
        component.is_alerted = True
        if status is Status.UNHEALTHY:
            incidents.open_incident(component, now=now)
    elif component.is_alerted or status_before in FAILING:
        clear_problem(key=component.alert_key, now=now)
        component.is_alerted = False
    if status is not Status.UNHEALTHY:
        incidents.resolve_incidents_of(component, now=now)


def _report(component: Component, status: Status, now: datetime) -> None:
    if status is Status.DEGRADED:
        severity = Severity.MEDIUM
    else:
        severity = Severity.CRITICAL if component.is_required else Severity.HIGH
    report_problem(
        key=component.alert_key,
        alert_type=ALERT_TYPES.get(component.name, _KIND_ALERT_TYPES[component.kind]),
        title=describe_failure(component),
        message=component.last_message,
        severity=severity,
        source="health",
        now=now,
        metadata={"component": component.name, **_app(component), **_host(component)},
        references=_references(component),
    )


def _app(component: Component) -> dict[str, str]:
    apps = apps_of(component)
    return {"app": apps[0].slug} if apps else {}


def _host(component: Component) -> dict[str, str]:
    """Return the host of a monitor as metadata of an alert. Return {} for other components."""
    if component.kind != ComponentKind.MONITOR:
        return {}
    monitor = Monitor.objects.filter(pk=component.pk).only("url").first()
    return {"host": monitor.host} if monitor and monitor.host else {}


def _references(component: Component) -> References:
    """Return references to the orders that a failing check affects, if the check can find them."""
    if component.kind != ComponentKind.CHECK or component.name not in health_checks:
        return References()
    find = health_checks.get(component.name).references
    return find() if find else References()


def resolve_unmonitored(*, now: datetime) -> int:
    """Resolve the alerts and incidents of components that were disabled or deleted. Return the number of alerts."""
    monitored = {
        component.alert_key for component in Component.objects.filter(is_enabled=True).only("name")
    }
    types = [*ALERT_TYPES.values(), *_KIND_ALERT_TYPES.values()]
    own_alerts = SystemAlert.objects.unresolved().filter(alert_type__in=types, source="health")
    stale_keys = [key for key in own_alerts.values_list("key", flat=True) if key not in monitored]
    for key in stale_keys:
        clear_problem(key=key, now=now, text="monitoring of this component was stopped")
    Component.objects.filter(is_enabled=False, is_alerted=True).update(is_alerted=False)
    incidents.resolve_unmonitored(now=now)
    return len(stale_keys)


def report_own_network(is_cut_off: bool, *, now: datetime) -> None:
    """Open or resolve a single alert about the portal's own network, instead of one for each external monitor."""
    if not is_cut_off:
        clear_problem(key=_OWN_NETWORK_KEY, now=now)
        return
    report_problem(
        key=_OWN_NETWORK_KEY,
        alert_type="own-network-down",
        title="The portal's own network is down",
        message="No external address responds, including the reference addresses."
        " External monitors are paused until connectivity returns.",
        severity=Severity.CRITICAL,
        source="health",
        now=now,
    )
