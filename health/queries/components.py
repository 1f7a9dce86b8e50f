"""Read component states and maintenance windows."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from core.lib.natural import natural_key
from health.models import Component, MaintenanceWindow
from health.verdict import State, Status

_RANK = {Status.UNHEALTHY.value: 0, Status.DEGRADED.value: 1}


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Return every enabled component that has a state, by name."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }


def worst_first(components: Iterable[Component]) -> list[Component]:
    """Sort by status, then required ones, then public ones, then by kind and title, numbers in titles by value."""
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


class ComponentsUnderMaintenance:
    """The set of components that a running maintenance window covers. A window without components covers all."""

    def __init__(self, now: datetime) -> None:
        self._covers_all = False
        self._ids: set[int] = set()
        for window in MaintenanceWindow.objects.running(now).prefetch_related("components"):
            ids = {component.pk for component in window.components.all()}
            self._covers_all = self._covers_all or not ids
            self._ids |= ids

    def __contains__(self, component: Component) -> bool:
        return self._covers_all or component.pk in self._ids
