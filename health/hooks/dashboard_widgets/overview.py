"""Show the overview figures and the timeline."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from django.urls import reverse

from core.lib import formats
from core.lib.charts import Chart
from health.extension_points import (
    OverviewFigure,
    Reading,
    Tab,
    WidgetContext,
    overview_figures,
    widget,
)
from health.queries import values
from health.queries.marks import list_marks

log = logging.getLogger(__name__)

MAX_LISTED_MARKS = 8
# A change by at least this factor is shown as a factor, a smaller change as a percentage.
_MULTIPLE = 3
_NOTABLE_CHANGE = 0.2  # A smaller change is shown in a neutral color.
MAX_LARGE_LETTERS = 10  # A longer value has smaller letters.


@dataclass(frozen=True)
class Comparison:
    """The change since the same hour of last week in words, with a tone for better or worse."""

    text: str
    before: str
    tone: str = ""  # One of "ok", "warning" and "".


@dataclass(frozen=True)
class ShownFigure:
    figure: OverviewFigure
    reading: Reading | None  # None if the figure could not be read.
    url: str
    value: str
    comparison: Comparison | None
    trend: list[float | None]

    @property
    def is_long(self) -> bool:
        """Return True if the value needs smaller letters, so that its unit stays on the same line."""
        return len(self.value) > MAX_LARGE_LETTERS

    @property
    def number(self) -> str:
        """Return the value without its unit, such as "1,873.00" for "1,873.00 EUR"."""
        return self.value.partition(" ")[0]

    @property
    def unit(self) -> str:
        return self.value.partition(" ")[2]


@widget(
    "health.overview",
    title="Last hour",
    template="health/_widget_overview.html",
    refresh=60,
    order=20,
    size="wide",
    tab=Tab.TOP,
    respects_apps=True,
)
def overview(context: WidgetContext) -> dict[str, object]:
    first = values.first_recorded_at()
    knows_last_week = first is not None and first <= context.now - timedelta(weeks=1)
    figures = [
        _shown(figure, _read(figure, context), knows_last_week=knows_last_week)
        for figure in sorted(overview_figures, key=lambda figure: figure.order)
        if figure.is_visible
    ]
    marks = list_marks(context.since, context.now, deploys=context.deploy_marks())
    charts = [
        replace(
            shown.reading.chart,
            group="timeline",
            span=(context.since, context.now),
            marks=marks,
            interval_url=reverse("health:interval"),
        )
        for shown in figures
        if shown.figure.on_timeline and shown.reading and shown.reading.chart
    ]
    newest_first = marks[::-1]
    return {
        "figures": figures,
        "charts": [chart for chart in charts if not chart.is_empty],
        "marks": newest_first[:MAX_LISTED_MARKS],
        "more_marks": newest_first[MAX_LISTED_MARKS:],
    }


def _read(figure: OverviewFigure, context: WidgetContext) -> Reading | None:
    """Read a figure. If this fails, log the error and return None, so that the page still shows the other figures."""
    try:
        return figure.read(context)
    except Exception:
        log.exception("overview figure failed", extra={"figure": figure.name})
        return None


def _shown(
    figure: OverviewFigure, reading: Reading | None, *, knows_last_week: bool
) -> ShownFigure:
    url = figure.url
    if reading is None:
        return ShownFigure(figure, None, url, formats.NONE, None, [])
    value = reading.text or _in_words(reading.value, reading.unit)
    comparison = compare(figure, reading) if knows_last_week else None
    return ShownFigure(figure, reading, url, value, comparison, _trend(reading.chart))


def _in_words(value: float | None, unit: str) -> str:
    """Format a value with about two significant digits, because further digits would change with every refresh."""
    if value is not None and unit != "ms" and 0 < abs(value) < 1:
        value = float(f"{value:.1g}")
    elif value is not None and abs(value) < 10:
        value = round(value, 1)
    return formats.quantity(value, unit)


def compare(figure: OverviewFigure, reading: Reading) -> Comparison | None:
    """Compare a reading with the same hour of last week. Return None if either value is unknown."""
    value, before = reading.value, reading.week_ago
    if value is None or before is None:
        return None
    before_text = reading.week_ago_text or _in_words(before, reading.unit)
    if value == before:
        return Comparison("same as last week", before_text)
    if not before:
        return Comparison(f"{before_text} last week", before_text)
    change = (value - before) / before
    tone = ""
    if figure.is_less_better is not None and abs(change) >= _NOTABLE_CHANGE:
        tone = "ok" if (change < 0) == figure.is_less_better else "warning"
    size = (
        f"{value / before:,.0f} times"
        if value / before >= _MULTIPLE
        else f"{100 * change:+.0f} % on"
    )
    return Comparison(f"{size} last week", before_text, tone)


def _trend(chart: Chart | None) -> list[float | None]:
    """Return the values of the sparkline, or [] if fewer than two values are known.

    These are the values of the first series or, in a bar chart, the sum of all series in each slot.
    """
    if chart is None:
        return []
    if chart.series[0].kind == "bars":
        slots = zip(*(one.values for one in chart.series), strict=True)
        values = [
            sum(value or 0 for value in slot) if any(v is not None for v in slot) else None
            for slot in slots
        ]
    else:
        values = list(chart.series[0].values)
    return values if sum(value is not None for value in values) > 1 else []
