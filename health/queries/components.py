"""Read component states and maintenance windows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.urls import reverse

from core.clients.models import ClientApp
from core.lib.app_access import limit
from core.lib.natural import natural_key
from health.models import (
    CheckIn,
    CheckInStatus,
    Component,
    ComponentKind,
    MaintenanceWindow,
    StatusChoice,
)
from health.verdict import State, Status

_RANK = {Status.UNHEALTHY.value: 0, Status.DEGRADED.value: 1}


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Return every enabled component that has a state, by name."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }


def silence_url(component: Component) -> str:
    """Return the URL of a form that silences the component's alerts, by default for two hours."""
    query = {"key": component.alert_key, "comment": component.title}
    return f"{reverse('admin:alerts_silence_add')}?{urlencode(query)}"


def worst_first(components: Iterable[Component]) -> list[Component]:
    """Sort by status, then required and public ones first, then by kind and title. Numbers in titles sort by value."""
    return sorted(
        components,
        key=lambda one: (
            _RANK.get(one.status, 2),
            not one.is_required,
            not one.is_public,
            one.kind,
            natural_key(one.title),
        ),
    )


@dataclass(frozen=True)
class Group:
    """The enabled components of one group, and the worst status among them."""

    title: str
    status: str
    label: str
    count: int
    failing_count: int

    @property
    def summary(self) -> str:
        if self.failing_count:
            return f"{self.failing_count} of {self.count} failing"
        return "1 component" if self.count == 1 else f"{self.count} components"


def load_groups(components: QuerySet[Component]) -> list[Group]:
    """Return the groups of the enabled components by title. Components without a group are left out."""
    statuses: dict[str, list[str]] = {}
    rows = components.filter(is_enabled=True).exclude(group="").order_by()
    for group, status in rows.values_list("group", "status"):
        statuses.setdefault(group, []).append(status)
    return [
        _group(title, found)
        for title, found in sorted(statuses.items(), key=lambda item: natural_key(item[0]))
    ]


def _group(title: str, statuses: Sequence[str]) -> Group:
    order = [
        Status.UNHEALTHY,
        Status.DEGRADED,
        Status.UNKNOWN,
        Status.HEALTHY,
        Status.NOT_CONFIGURED,
    ]
    worst = min(statuses, key=lambda status: order.index(Status(status)))
    failing_count = sum(status in (Status.UNHEALTHY, Status.DEGRADED) for status in statuses)
    return Group(title, worst, StatusChoice(worst).label, len(statuses), failing_count)


def load_in_use() -> list[Component]:
    """Return the enabled components that are configured, with the required ones first."""
    return list(limit(Component.objects.in_use()).in_order())


def find_failing(components: Iterable[Component]) -> dict[str, Component]:
    """Return the components that are down or degraded, by name."""
    return {
        component.name: component
        for component in components
        if component.status in (Status.UNHEALTHY, Status.DEGRADED)
    }


def apps_of(component: Component) -> list[ClientApp]:
    """Return the apps that the component belongs to. Only a certificate can belong to several."""
    return list(ClientApp.objects.filter(pk__in=Component.load_owners().get(component.pk, ())))


def app_ids_of_components() -> dict[int, int]:
    """Return the apps of the components that belong to a single one, by the component's id."""
    return {pk: min(apps) for pk, apps in Component.load_owners().items() if len(apps) == 1}


class ComponentsUnderMaintenance:
    """A set of the components that a running maintenance window covers. A window without components covers all."""

    def __init__(self, now: datetime) -> None:
        self._covers_all = False
        self._ids: set[int] = set()
        for window in MaintenanceWindow.objects.running(now).prefetch_related("components"):
            ids = {component.pk for component in window.components.all()}
            self._covers_all = self._covers_all or not ids
            self._ids |= ids

    def __contains__(self, component: Component) -> bool:
        return self._covers_all or component.pk in self._ids


_JOB_FAILURES = {
    CheckInStatus.MISSED: "missed its check-in",
    CheckInStatus.ERROR: "failed",
    CheckInStatus.TIMEOUT: "ran too long",
}


def describe_failure(component: Component) -> str:
    """Return the problem of a failing component in a few words, such as "Nightly import missed its check-in"."""
    if component.kind == ComponentKind.HEARTBEAT and component.status == Status.UNHEALTHY:
        ended = CheckIn.objects.filter(heartbeat=component.pk, status__in=_JOB_FAILURES)
        newest = ended.order_by("-finished_at", "-pk").values_list("status", flat=True).first()
        return f"{component.title} {_JOB_FAILURES[CheckInStatus(newest)] if newest else 'failed'}"
    if component.kind == ComponentKind.CERTIFICATE:
        is_expired = component.status == Status.UNHEALTHY
        return f"{component.title} {'has expired' if is_expired else 'expires soon'}"
    return f"{component.title} is {component.get_status_display().lower()}"
