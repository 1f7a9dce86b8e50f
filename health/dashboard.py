"""The registry of widgets on the system-health page. An app registers its widgets in its `dashboard_widgets.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from django.http import HttpRequest

from core.lib.registry import Registry

T = TypeVar("T")
WidgetSize = Literal["small", "medium", "wide"]


@dataclass(frozen=True)
class WidgetContext:
    """The request, the current time and the selected time range (1 h, 24 h, 7 d or 30 d), as passed to each widget."""

    request: HttpRequest
    now: datetime
    range: timedelta
    _loaded: dict[Callable[[], object], Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def since(self) -> datetime:
        return self.now - self.range

    def load_once(self, load: Callable[[], T]) -> T:
        """Return the result of `load`, calling it only once for all widgets of the page."""
        if load not in self._loaded:
            self._loaded[load] = load()
        result: T = self._loaded[load]
        return result


WidgetFunction = Callable[[WidgetContext], dict[str, object]]


@dataclass(frozen=True)
class Widget:
    name: str
    title: str
    template: str
    context: WidgetFunction
    refresh: int  # seconds
    order: int  # position on the page, ascending
    size: WidgetSize  # the share of the page's width


registry: Registry[Widget] = Registry("dashboard_widgets")


def widget(
    name: str,
    *,
    title: str,
    template: str,
    refresh: int = 60,
    order: int = 500,
    size: WidgetSize = "medium",
) -> Callable[[WidgetFunction], WidgetFunction]:
    """Register a widget: a function that takes a WidgetContext and returns the context of its template.

    The widget reloads every `refresh` seconds. Its template context holds values that are ready to display.
    """

    def register(function: WidgetFunction) -> WidgetFunction:
        registry.add(name, Widget(name, title, template, function, refresh, order, size))
        return function

    return register
