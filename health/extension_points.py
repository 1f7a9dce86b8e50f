"""The hooks of health: what other apps add to it, each in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| health_checks | `@health_check("queue", critical=True, timeout=3.0)` | `() -> str or None`; raises NotConfigured or Degraded |
| dashboard_widgets | `@widget("errors.live", title="Errors", template=…, refresh=30)` | `(WidgetContext) -> template context` |
| metrics | `@metric_source("payments.totals")` | `() -> Iterable[Metric]` |

How to add one: docs/howto/.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from django.http import HttpRequest
from prometheus_client.core import Metric

from core.lib.registry import Registry
from impact.references import References

# --- health checks -----------------------------------------------------------------------------


class NotConfigured(Exception):
    """The dependency is not used in this installation. It is shown as such and does not count as a failure."""


class Degraded(Exception):
    """The dependency works, but poorly. The message is shown to staff."""


# Returns a short message for staff (or None). Raises NotConfigured or Degraded; any other exception is a failure.
CheckFunction = Callable[[], str | None]


# The portal's own network, on which checks of outside services depend.
OWN_NETWORK = "own-network"


@dataclass(frozen=True)
class Check:
    name: str
    summary: str
    run: CheckFunction
    critical: bool  # a failure makes the whole portal unhealthy, not just degraded
    timeout: float  # seconds
    fail_after: int = 2  # consecutive failures before it counts as down
    recover_after: int = 2  # consecutive successes before it counts as up
    references: Callable[[], References] | None = None  # the orders that a failure concerns
    depends_on: tuple[str, ...] = ()  # components whose outage explains a failure


health_checks: Registry[Check] = Registry("health_checks")


def health_check(
    name: str,
    *,
    summary: str = "",
    critical: bool = False,
    timeout: float = 3.0,
    fail_after: int = 2,
    recover_after: int = 2,
    references: Callable[[], References] | None = None,
    depends_on: tuple[str, ...] = (),
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a health check; `timeout` is in seconds."""
    return health_checks.decorator(
        name,
        lambda function: Check(
            name,
            summary or name,
            function,
            critical,
            timeout,
            fail_after,
            recover_after,
            references,
            depends_on,
        ),
    )


# --- widgets of the system-health page ---------------------------------------------------------


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
    on_wall: bool  # also shown in wall mode, whose few widgets are legible from across a room
    is_urgent: bool  # rendered with the page even if the page has taken long already


dashboard_widgets: Registry[Widget] = Registry("dashboard_widgets")


def widget(
    name: str,
    *,
    title: str,
    template: str,
    refresh: int = 60,
    order: int = 500,
    size: WidgetSize = "medium",
    on_wall: bool = False,
    is_urgent: bool = False,
) -> Callable[[WidgetFunction], WidgetFunction]:
    """Register a widget: a function that takes a WidgetContext and returns the context of its template.

    The widget reloads every `refresh` seconds. Its template context holds values that are ready to display.
    """
    return dashboard_widgets.decorator(
        name,
        lambda function: Widget(
            name, title, template, function, refresh, order, size, on_wall, is_urgent
        ),
    )


# --- Prometheus metrics ------------------------------------------------------------------------


MetricSource = Callable[[], Iterable[Metric]]
metrics: Registry[MetricSource] = Registry("metrics")


def metric_source(name: str) -> Callable[[MetricSource], MetricSource]:
    """Register a function that returns metrics; it runs on each scrape."""
    return metrics.decorator(name, lambda source: source)
