"""Reads about components: their stored state, and which of them are under maintenance."""

from collections.abc import Mapping
from datetime import datetime

from health.models import Component, MaintenanceWindow
from health.verdict import State


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Every component in use that has a state, by name."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }


class Maintained:
    """Which components announced work concerns now."""

    def __init__(self, now: datetime) -> None:
        self.all = False
        self.ids: set[int] = set()
        for window in MaintenanceWindow.objects.running(now).prefetch_related("components"):
            ids = {component.pk for component in window.components.all()}
            self.all = self.all or not ids
            self.ids |= ids

    def __contains__(self, component: Component) -> bool:
        return self.all or component.pk in self.ids
