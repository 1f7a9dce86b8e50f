"""Define the hooks of `health`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| health_checks | `@health_check("queue", critical=True, timeout=3.0)` | `() -> str or None`; raises NotConfigured or Degraded |
| dashboard_widgets | `@widget("errors.live", title="Errors", template=…, refresh=30)` | `(WidgetContext) -> template context` |
| overview_figures | `@overview_figure("errors.per_minute", label="Errors", order=10)` | `(WidgetContext) -> Reading` |
| forecasts | `@forecast_source("health.disk")` | `(now) -> Iterable[Forecast]` |
| interval_sections | `@interval_section("errors.groups")` | `(since, until) -> IntervalSection or None` |
| metrics | `@metric_source("payments.totals")` | `() -> Iterable[Metric]` |

docs/howto/ describes how to add a health check, a widget and other hooks.
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
from core.lib.charts import Chart, Mark
from core.lib.forecasts import Forecast
from core.lib.registry import Registry
from core.releases.queries import deploy_marks
from health.verdict import Tone
from impact.references import References

# --- health checks -----------------------------------------------------------------------------


class NotConfigured(Exception):
    """This installation does not use the dependency.

    Pages say so, and the dependency does not count as failed.
    """


class Degraded(Exception):
    """The dependency works, but not well. Staff see the exception's message."""


# The function returns a short message for staff, or None. It raises NotConfigured or Degraded, and any other exception
# counts as a failure.
CheckFunction = Callable[[], str | None]


# This component is the portal's own network, on which checks of outside services depend.
OWN_NETWORK = "own-network"


@dataclass(frozen=True)
class Check:
    name: str
    summary: str
    run: CheckFunction
    # A failure of a critical check makes the whole portal unhealthy. Other failures make it degraded.
    critical: bool
    timeout: float  # Seconds.
    # The component counts as down after this number of consecutive failures.
    fail_after: int = 2
    # The component counts as up after this number of consecutive successes.
    recover_after: int = 2
    # Returns the orders that a failure affects.
    references: Callable[[], References] | None = None
    # An outage of one of these components explains a failure of the check.
    depends_on: tuple[str, ...] = ()


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
    """Register a function as a health check. `timeout` is in seconds."""
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
    """The place of a widget on the system-health page: at the top, or in one of three tabs.

    Wall mode shows only the widgets at the top.
    """

    TOP = "top"
    RELIABILITY = "reliability"
    BUSINESS = "business"
    PLATFORM = "platform"


@dataclass(frozen=True)
class WidgetContext:
    """The request, the current time and the time range that each widget receives."""

    request: HttpRequest
    now: datetime
    range: timedelta
    _loaded: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def since(self) -> datetime:
        return self.now - self.range

    @property
    def is_wall(self) -> bool:
        """Return True in wall mode: `?wall`, or `?wall=1`, which widgets send when they reload."""
        return self.request.GET.get("wall", "0") != "0"

    def load_once(self, load: Callable[[], T], *, key: object = None) -> T:
        """Return the result of `load`, which is called once per `key` for all widgets of the page.

        Without `key`, the function `load` itself is the key.
        """
        key = key or load
        if key not in self._loaded:
            self._loaded[key] = load()
        result: T = self._loaded[key]
        return result

    def deploy_marks(self) -> list[Mark]:
        """Return the newest deploys in the time range as marks for a chart."""
        return self.load_once(lambda: deploy_marks(self.since, self.now), key=deploy_marks)


# The function returns None if there is nothing to show, and the page then leaves out the widget.
WidgetFunction = Callable[[WidgetContext], dict[str, object] | None]


@dataclass(frozen=True)
class Widget:
    name: str
    title: str
    template: str
    context: WidgetFunction
    refresh: int  # Seconds.
    order: int  # Widgets are sorted by this number.
    size: WidgetSize  # Determines the share of the page's width.
    tab: Tab
    respects_apps: bool

    @property
    def is_visible(self) -> bool:
        """Return False if the widget shows data of all apps but the user may see only some apps."""
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
    """Register a function that takes a WidgetContext and returns the context for the widget's template.

    The widget reloads every `refresh` seconds. The template context contains values that are ready to display. Set
    `respects_apps` if the function filters every row that belongs to an app with `app_access.limit`, because users who
    may see only some apps get no other widgets.
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
    """The content of an overview figure: its value in the last hour and a week earlier, and a chart.

    `chart` covers the selected time range. The figure shows the first series of the chart as a sparkline. The timeline
    shows the whole chart if the figure is registered with `on_timeline`.
    """

    value: float | None
    unit: str = ""
    # Replaces the value and its unit, for example with an amount of money.
    text: str = ""
    note: str = ""
    # None if the value of the same hour a week earlier is unknown.
    week_ago: float | None = None
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
    url_name: str  # Names the URL to which the figure links.
    on_timeline: bool
    is_less_better: bool | None  # None if neither a rise nor a fall is an improvement.
    # The figure links to this widget's page, with the details, instead of `url_name`.
    widget: str
    describe_warning: Callable[[WidgetContext], str] | None
    respects_apps: bool  # True if `read` filters the rows of apps with `app_access.limit`.

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
    describe_warning: Callable[[WidgetContext], str] | None = None,
    respects_apps: bool = False,
) -> Callable[[ReadingFunction], ReadingFunction]:
    """Register an overview figure: a function that takes a WidgetContext and returns a Reading.

    The figure links to the page `url_name` or to the page of a widget. `describe_warning` returns a sentence without a
    full stop if the figure exceeds its limit, and "" otherwise. While there are no problems, the overall verdict of
    the portal then contains this sentence.
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
    """The events of one kind in a selected interval, with their number, the first rows, and a link to all of them."""

    title: str  # Names the events, for example "Errors".
    count: int
    rows: list[IntervalRow]
    url: str = ""


IntervalFunction = Callable[[datetime, datetime], IntervalSection | None]
interval_sections: Registry[IntervalFunction] = Registry("interval_sections")


def interval_section(name: str) -> Callable[[IntervalFunction], IntervalFunction]:
    """Register a function that lists the events from `since` to before `until`.

    The function may return None. It must read rows of apps through `app_access.limit`.
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
    """Register a function that returns metrics.

    The function runs at each scrape, unless cached metrics are sent or the database is down.
    """
    return metrics.decorator(name, lambda source: source)
