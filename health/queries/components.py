"""Read component states and maintenance windows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.urls import reverse

from core.clients.models import ClientApp
from core.lib.app_access import limit
from core.lib.natural import natural_key
from health.models import (
    CheckIn,
    CheckInStatus,
    Component,
    ComponentKind,
    Heartbeat,
    MaintenanceWindow,
    Monitor,
    StatusChoice,
)
from health.verdict import State, Status

_RANK = {Status.UNHEALTHY.value: 0, Status.DEGRADED.value: 1}
_Rank = tuple[int, bool, bool, str]


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Map the name of each enabled component that has a result to the component and its state."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }


def silence_url(component: Component) -> str:
    """Return the URL of the form that silences the component's alerts, by default for two hours."""
    query = {"key": component.alert_key, "comment": component.title}
    return f"{reverse('admin:alerts_silence_add')}?{urlencode(query)}"


def list_worst_first(components: QuerySet[Component], *, at_least: int | None = None) -> list[int]:
    """Return the ids of components: worst status first, then required and public components, then by kind and title.

    The list may end as soon as it has `at_least` entries. A page shows only a few of thousands of components, so only
    the columns for sorting are read, and healthy components only if there are too few failing ones. Titles are sorted
    in Python, because numbers in titles are sorted by value.
    """
    found: list[int] = []
    failing = components.filter(status__in=_RANK)
    for rows in (failing, components.exclude(status__in=_RANK)):
        found += _sort(rows, at_least=at_least)
        if at_least is not None and len(found) >= at_least:
            break
    return found


def sort_worst_first(components: QuerySet[Component]) -> list[Component]:
    """Return the components with all columns, sorted like `list_worst_first`."""
    return sorted(
        components.order_by(),
        key=lambda one: (
            _rank(one.status, one.is_required, one.is_public, one.kind),
            _by_title((one.title, one.pk)),
        ),
    )


def _rank(status: str, is_required: bool, is_public: bool, kind: str) -> _Rank:
    return _RANK.get(status, 2), not is_required, not is_public, kind


def _sort(components: QuerySet[Component], *, at_least: int | None) -> list[int]:
    rows = components.order_by().values_list(
        "pk", "status", "is_required", "is_public", "kind", "title"
    )
    groups: dict[_Rank, list[tuple[str, int]]] = {}
    for pk, status, is_required, is_public, kind, title in rows:
        groups.setdefault(_rank(status, is_required, is_public, kind), []).append((title, pk))
    found: list[int] = []
    for key in sorted(groups):
        found += [pk for _, pk in sorted(groups[key], key=_by_title)]
        if at_least is not None and len(found) >= at_least:
            break
    return found


def _by_title(row: tuple[str, int]) -> tuple[object, ...]:
    title, pk = row
    return natural_key(title), pk


def load_in_order(ids: Sequence[int]) -> list[Component]:
    """Return the components with these ids, in the order of the ids and without deleted ones."""
    found = Component.objects.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


@dataclass(frozen=True)
class Group:
    """A group of enabled components, with the worst status among them."""

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
    """Return the groups of the enabled components, sorted by title. Components without a group are left out."""
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


def load_failing() -> dict[str, Component]:
    """Return the enabled components that are down or degraded, by name and with required ones first."""
    return {one.name: one for one in limit(Component.objects.failing()).in_order()}


@dataclass(frozen=True)
class InUse:
    """The number of enabled and configured components, and the time of their newest result."""

    count: int
    checked_at: datetime | None


def count_in_use() -> InUse:
    found = limit(Component.objects.in_use()).aggregate(count=Count("pk"), last=Max("last_at"))
    return InUse(found["count"], found["last"])


def apps_of(component: Component) -> list[ClientApp]:
    """Return the apps to which the component belongs. Only a certificate can belong to several apps."""
    match component.kind:
        case ComponentKind.MONITOR:
            owned = ClientApp.objects.filter(monitors=component.pk)
        case ComponentKind.HEARTBEAT:
            owned = ClientApp.objects.filter(heartbeats=component.pk)
        case ComponentKind.CERTIFICATE:
            owners = Component.load_owners().get(component.pk, ())
            owned = ClientApp.objects.filter(pk__in=owners)
        case _:
            return []
    return list(owned)


def app_ids_of_components(among: Collection[Component] | None = None) -> dict[int, int]:
    """Map the id of each component that belongs to exactly one app to the id of the app.

    If `among` is given, other components may be left out.
    """
    if among is None or any(one.kind == ComponentKind.CERTIFICATE for one in among):
        return {pk: min(apps) for pk, apps in Component.load_owners().items() if len(apps) == 1}
    ids = [one.pk for one in among]
    found: dict[int, int] = {}
    for model in (Monitor, Heartbeat):
        owned = model._default_manager.filter(pk__in=ids, app__isnull=False)
        found |= dict(owned.values_list("pk", "app"))
    return found


class ComponentsUnderMaintenance:
    """The components that current maintenance windows cover, for tests with `in`.

    A window without components covers all components.
    """

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
    CheckInStatus.MISSED: "missed a check-in",
    CheckInStatus.ERROR: "failed",
    CheckInStatus.TIMEOUT: "ran too long",
}


def headline(title: str, status: Status) -> str:
    """Return a failure as a headline, such as "Payments down".

    The headline has no verb, because the titles of components may be singular or plural.
    """
    return f"{title} {StatusChoice(status).label.lower()}"


def describe_failure(component: Component) -> str:
    """Describe the failure of a component in a few words, such as "Nightly import missed a check-in"."""
    return describe_failures([component])[component.pk]


def describe_failures(components: Sequence[Component]) -> dict[int, str]:
    """Describe the failure of each component in a few words, by the component's id."""
    jobs = [
        one.pk
        for one in components
        if one.kind == ComponentKind.HEARTBEAT and one.status == Status.UNHEALTHY
    ]
    ended = CheckIn.objects.filter(heartbeat=OuterRef("pk"), status__in=_JOB_FAILURES)
    newest = Subquery(ended.order_by("-finished_at", "-pk").values("status")[:1])
    failures = dict(Heartbeat.objects.filter(pk__in=jobs).values_list("pk", newest) if jobs else ())
    return {one.pk: _describe(one, failures.get(one.pk)) for one in components}


def _describe(component: Component, job_status: str | None) -> str:
    if component.kind == ComponentKind.HEARTBEAT and component.status == Status.UNHEALTHY:
        failure = _JOB_FAILURES[CheckInStatus(job_status)] if job_status else "failed"
        return f"{component.title} {failure}"
    if component.kind == ComponentKind.CERTIFICATE:
        is_expired = component.status == Status.UNHEALTHY
        return f"{component.title} {'has expired' if is_expired else 'expires soon'}"
    return headline(component.title, Status(component.status))
