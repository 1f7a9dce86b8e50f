"""Read component states and maintenance windows."""

from collections.abc import Mapping
from datetime import datetime

from health.models import Component, MaintenanceWindow
from health.verdict import State


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Return every enabled component that has a state, by name."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }


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
