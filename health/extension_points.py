"""Define the hooks of `health`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| health_checks | `@health_check("queue", critical=True, timeout=3.0)` | `() -> str or None`; raises NotConfigured or Degraded |
| dashboard_widgets | `@widget("errors.live", title="Errors", template=…, refresh=30)` | `(WidgetContext) -> template context` |
| overview_figures | `@overview_figure("errors.per_minute", label="Errors", order=10)` | `(WidgetContext) -> Reading` |
| forecasts | `@forecast_source("health.disk")` | `(now) -> Iterable[Forecast]` |
| interval_sections | `@interval_section("errors.groups")` | `(since, until) -> IntervalSection or None` |
| metrics | `@metric_source("payments.totals")` | `() -> Iterable[Metric]` |

How to add one: docs/howto/.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeVar

from django.http import HttpRequest
from django.urls import reverse
from prometheus_client.core import Metric

from core.lib.app_access import sees_every_app
from core.lib.charts import Chart
from core.lib.forecasts import Forecast
from core.lib.registry import Registry
from health.verdict import Tone
from impact.references import References

# --- health checks -----------------------------------------------------------------------------


class NotConfigured(Exception):
    """The dependency is not used in this installation. Pages say so, and this does not count as a failure."""


class Degraded(Exception):
    """The dependency works, but poorly. The message is shown to staff."""


# The function returns a short message for staff, or None. Raises NotConfigured or Degraded; any other exception is a
# failure.
CheckFunction = Callable[[], str | None]


# The portal's own network, on which checks of outside services depend.
OWN_NETWORK = "own-network"


@dataclass(frozen=True)
class Check:
    name: str
    summary: str
    run: CheckFunction
    critical: bool  # A failure makes the whole portal unhealthy, not just degraded.
    timeout: float  # In seconds.
    # The number of consecutive failures after which the component counts as down.
    fail_after: int = 2
    # The number of consecutive successes after which the component counts as up.
    recover_after: int = 2
    # This function returns the orders that a failure affects.
    references: Callable[[], References] | None = None
    depends_on: tuple[str, ...] = ()  # The components whose outage explains a failure.


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


class Tab(StrEnum):
    """The position of a widget on the system-health page: the top, which wall mode also shows, or one of three tabs."""

    TOP = "top"
    RELIABILITY = "reliability"
    BUSINESS = "business"
    PLATFORM = "platform"


@dataclass(frozen=True)
class WidgetContext:
    """The request, the current time and the selected time range (1 h, 24 h, 7 d or 30 d). Each widget receives this."""

    request: HttpRequest
    now: datetime
    range: timedelta
    _loaded: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def since(self) -> datetime:
        return self.now - self.range

    @property
    def is_wall(self) -> bool:
        """Return True for `?wall` and `?wall=1`, which the widgets of wall mode also send when they refresh."""
        return self.request.GET.get("wall", "0") != "0"

    def load_once(self, load: Callable[[], T], *, key: object = None) -> T:
        """Return the result of `load`, calling it only once per `key` (or function) for all widgets of the page."""
        key = key or load
        if key not in self._loaded:
            self._loaded[key] = load()
        result: T = self._loaded[key]
        return result


# The function returns None if there is nothing to show, in which case the page omits the widget.
WidgetFunction = Callable[[WidgetContext], dict[str, object] | None]


@dataclass(frozen=True)
class Widget:
    name: str
    title: str
    template: str
    context: WidgetFunction
    refresh: int  # In seconds.
    order: int  # The position on the page, in ascending order.
    size: WidgetSize  # The widget's share of the page's width.
    tab: Tab
    respects_apps: bool

    @property
    def is_visible(self) -> bool:
        """Return False for a reader who sees only some apps, if the widget shows figures of all."""
        return self.respects_apps or sees_every_app()


dashboard_widgets: Registry[Widget] = Registry("dashboard_widgets")


def widget(
    name: str,
    *,
    title: str,
    template: str,
    refresh: int = 60,
    order: int = 500,
    size: WidgetSize = "medium",
    tab: Tab = Tab.PLATFORM,
    respects_apps: bool = False,
) -> Callable[[WidgetFunction], WidgetFunction]:
    """Register a widget: a function that takes a WidgetContext and returns the context of its template.

    The widget reloads every `refresh` seconds. Its template context holds values that are ready to display. It is shown
    to people who see only some apps if it `respects_apps`: it reads all rows of apps through `app_access.limit`.
    """
    return dashboard_widgets.decorator(
        name,
        lambda function: Widget(
            name, title, template, function, refresh, order, size, tab, respects_apps
        ),
    )


# --- the figures at the top of the system-health page and its timeline ---------------------------


@dataclass(frozen=True)
class Reading:
    """The content of a figure of the overview: its value in the last hour, the value a week ago, and its chart.

    `chart` covers the selected time range. Its first series is drawn as a sparkline. If the figure is registered with
    `on_timeline`, the whole chart is in the timeline.
    """

    value: float | None
    unit: str = ""
    # This is shown instead of the value and its unit, for example an amount of money.
    text: str = ""
    note: str = ""
    week_ago: float | None = (
        None  # The same hour one week earlier, or None if nothing is known about it.
    )
    week_ago_text: str = ""
    tone: Tone = Tone.NONE
    chart: Chart | None = None


ReadingFunction = Callable[[WidgetContext], Reading]


@dataclass(frozen=True)
class OverviewFigure:
    name: str
    label: str
    read: ReadingFunction
    order: int
    url_name: str  # The URL name of the page with details.
    on_timeline: bool
    is_less_better: bool | None  # None if neither direction is better.
    # The widget with the details, which is shown on a page of its own instead of the page of `url_name`.
    widget: str
    describe_warning: Callable[[datetime], str] | None
    respects_apps: bool  # This has the same meaning as for widgets.

    @property
    def is_visible(self) -> bool:
        return self.respects_apps or sees_every_app()

    @property
    def url(self) -> str:
        return (
            reverse("health:widget", args=[self.widget]) if self.widget else reverse(self.url_name)
        )


overview_figures: Registry[OverviewFigure] = Registry("overview_figures")


def overview_figure(
    name: str,
    *,
    label: str,
    order: int,
    url_name: str = "",
    widget: str = "",
    on_timeline: bool = False,
    is_less_better: bool | None = None,
    describe_warning: Callable[[datetime], str] | None = None,
    respects_apps: bool = False,
) -> Callable[[ReadingFunction], ReadingFunction]:
    """Register a figure of the overview: a function that takes a WidgetContext and returns a Reading.

    The figure links to the page of `url_name` or to that of a widget. `describe_warning` returns a sentence without a
    full stop if the figure exceeds its limit. The verdict on the whole portal then contains this sentence.
    """
    return overview_figures.decorator(
        name,
        lambda function: OverviewFigure(
            name,
            label,
            function,
            order,
            url_name,
            on_timeline,
            is_less_better,
            widget,
            describe_warning,
            respects_apps,
        ),
    )


@dataclass(frozen=True)
class IntervalRow:
    label: str
    detail: str
    url: str


@dataclass(frozen=True)
class IntervalSection:
    """The events of one kind in a part of the time range: their number, the first rows, and a link to all of them."""

    title: str  # For example "Errors".
    count: int
    rows: list[IntervalRow]
    url: str = ""


IntervalFunction = Callable[[datetime, datetime], IntervalSection | None]
interval_sections: Registry[IntervalFunction] = Registry("interval_sections")


def interval_section(name: str) -> Callable[[IntervalFunction], IntervalFunction]:
    """Register a function that lists what happened from `since` to before `until`; it may return None.

    It reads rows of apps through `app_access.limit`.
    """
    return interval_sections.decorator(name, lambda function: function)


# --- forecasts -----------------------------------------------------------------------------------


ForecastFunction = Callable[[datetime], Iterable[Forecast]]
forecasts: Registry[ForecastFunction] = Registry("forecasts")


def forecast_source(name: str) -> Callable[[ForecastFunction], ForecastFunction]:
    """Register a function that forecasts when limits are reached, with `core.lib.forecasts.forecast`."""
    return forecasts.decorator(name, lambda function: function)


# --- Prometheus metrics ------------------------------------------------------------------------


MetricSource = Callable[[], Iterable[Metric]]
metrics: Registry[MetricSource] = Registry("metrics")


def metric_source(name: str) -> Callable[[MetricSource], MetricSource]:
    """Register a function that returns metrics. The function runs at each scrape."""
    return metrics.decorator(name, lambda source: source)
