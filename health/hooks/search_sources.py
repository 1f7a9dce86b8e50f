"""Add monitors, heartbeats, checks and incidents to the portal's search."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from core.lib.app_access import limit
from core.lib.search_sources import MAX_HITS, Hit, Search, search_source
from health.models import Component, ComponentKind, Incident, StatusChoice
from health.queries.components import silence_url

_ADMIN_NAMES = {
    ComponentKind.CHECK: "component",
    ComponentKind.MONITOR: "monitor",
    ComponentKind.HEARTBEAT: "heartbeat",
    ComponentKind.CERTIFICATE: "certificate",
}


@search_source(
    "health.silences",
    title="Actions",
    permission="alerts.add_silence",
    order=505,
    respects_apps=True,
)
def find_silences(search: Search) -> Iterator[Hit]:
    """Find components by name, with links to the form that silences their alerts.

    The search text must start with "silence" or with the beginning of this word.
    """
    if "silence".startswith(search.text.casefold().split()[0][:7]):
        for one in limit(Component.objects.order_by("title", "pk")):
            title = f"Silence {one.title} for two hours"
            if search.matches(title):
                yield Hit(title, silence_url(one))


@search_source(
    "health.components",
    title="Monitoring",
    permission="health.view_component",
    order=500,
    respects_apps=True,
)
def find_components(search: Search) -> Iterator[Hit]:
    # Among thousands of components, reading columns is faster than creating objects.
    columns = limit(Component.objects.order_by("title", "pk")).values_list(
        "pk", "title", "name", "kind", "status", "is_enabled"
    )
    for pk, title, name, kind_value, status, is_enabled in columns:
        kind = ComponentKind(kind_value)
        if search.matches(title, name, kind.label):
            url = reverse(f"admin:health_{_ADMIN_NAMES[kind]}_change", args=[pk])
            state = StatusChoice(status).label.lower() if is_enabled else "off"
            is_exact = title.casefold() == search.text.casefold()
            yield Hit(title, url, f"{kind.label}, {state}", is_exact)


@search_source(
    "health.incidents",
    title="Incidents",
    permission="health.view_incident",
    order=510,
    respects_apps=True,
)
def find_incidents(search: Search) -> Iterator[Hit]:
    condition = Q()
    for word in search.text.split():
        condition &= Q(title__icontains=word)
    for one in limit(Incident.objects.filter(condition)).newest_first()[:MAX_HITS]:
        url = reverse("admin:health_incident_change", args=[one.pk])
        yield Hit(one.title, url, one.get_state_display())
