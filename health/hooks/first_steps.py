from core.lib.first_steps import first_step
from health.models import Component, ComponentKind


@first_step(
    "health.monitor",
    title="Add a monitor",
    text="The portal requests a URL every minute, and opens an alert when the requests fail.",
    action="Add a monitor",
    url_name="admin:health_monitor_add",
    permission="health.add_monitor",
    order=30,
)
def has_monitor() -> bool:
    watched = (ComponentKind.MONITOR, ComponentKind.HEARTBEAT)
    return Component.objects.filter(kind__in=watched, is_enabled=True).exists()


@first_step(
    "health.status_page",
    title="Publish the status page",
    text="Show at least one monitor or check on the public page, which anyone can read at /status/.",
    action="Choose what the page shows",
    url_name="admin:health_component_changelist",
    permission="health.change_component",
    order=50,
)
def has_public_component() -> bool:
    return Component.objects.in_use().filter(is_public=True).exists()
