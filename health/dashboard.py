"""The registry of panels on the system-health page: `dashboard_widgets.py` of an app brings its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.http import HttpRequest

from opsportal.lib.registry import Registry

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class WidgetContext:
    """What a page's widgets are asked for: the request, the instant, and the time range (1 h, 24 h, 7 d, 30 d)."""

    request: HttpRequest
    now: datetime
    range: timedelta
    _known: dict[Callable[[], object], Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def since(self) -> datetime:
        return self.now - self.range

    def once(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` finds, asked once for all widgets of a page that need it."""
        if ask not in self._known:
            self._known[ask] = ask()
        answer: Answer = self._known[ask]
        return answer


WidgetFunction = Callable[[WidgetContext], dict[str, object]]


@dataclass(frozen=True)
class Widget:
    name: str
    title: str
    template: str
    context: WidgetFunction
    refresh: int  # seconds
    order: int  # place on the page, ascending
    size: str  # "small", "medium", "wide": columns of the grid it spans


registry: Registry[Widget] = Registry("dashboard_widgets")


def widget(
    name: str,
    *,
    title: str,
    template: str,
    refresh: int = 60,
    order: int = 500,
    size: str = "medium",
) -> Callable[[WidgetFunction], WidgetFunction]:
    """Register a panel: `(WidgetContext) -> template context`, values ready to show."""

    def register(function: WidgetFunction) -> WidgetFunction:
        registry.add(name, Widget(name, title, template, function, refresh, order, size))
        return function

    return register
