"""Show the response times and failures of apps."""

from datetime import datetime

from core.lib.charts import Chart, Threshold
from core.lib.charts import Series as Line
from health.extension_points import Tab, WidgetContext, widget
from health.models import Series, SeriesKind
from health.queries import latencies

SLOW_MS = 3_000
MAX_FAILURE_SHARE = 0.05
MAX_FUNCTIONS = 8
KINDS = {
    SeriesKind.REQUEST: "Requests",
    SeriesKind.FUNCTION: "Functions",
    SeriesKind.PAGE: "Page loads",
}


def summarize_calls(
    context: WidgetContext, kind: SeriesKind
) -> dict[datetime, latencies.LatencySummary]:
    """Return a summary of the calls in each slot of the time range, read only once for the whole page."""
    return context.load_once(
        lambda: latencies.summarize_per_slot(
            Series.objects.total(kind), context.since, context.now
        ),
        key=(summarize_calls, kind),
    )


@widget(
    "health.response_times",
    title="Response times",
    template="health/_widget_response_times.html",
    refresh=60,
    order=200,
    size="medium",
    tab=Tab.RELIABILITY,
)
def response_times(context: WidgetContext) -> dict[str, object]:
    """Chart the durations of requests or, if none were measured, of the kind with the most calls."""
    sums = latencies.summarize_by_kind(KINDS, context.since, context.now)
    shown = max(
        sums,
        key=lambda kind: (kind is SeriesKind.REQUEST and sums[kind].count > 0, sums[kind].count),
    )
    slots = summarize_calls(context, shown)
    lines = [
        Line(label, [slot.percentile(q) for slot in slots.values()], kind="line")
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    highest = max((value for line in lines for value in line.values if value), default=0)
    return {
        "chart": Chart(
            title=f"{KINDS[shown]}: duration",
            times=list(slots),
            series=lines,
            unit="ms",
            # A threshold far above the values would flatten the lines, so it is drawn only near them.
            thresholds=[Threshold(SLOW_MS, "slow: 3 s", "warning")]
            if highest > SLOW_MS / 3
            else [],
            empty="Nothing was measured in this time range.",
        ),
        "shown": KINDS[shown],
        "kinds": [
            {
                "label": label,
                "count": sums[kind].count,
                "p50": sums[kind].percentile(0.5),
                "p95": sums[kind].percentile(0.95),
                "p99": sums[kind].percentile(0.99),
                "failure_percent": _to_percent(sums[kind].failure_share),
            }
            for kind, label in KINDS.items()
        ],
    }


@widget(
    "health.functions",
    title="Function health",
    template="health/_widget_functions.html",
    refresh=60,
    order=210,
    size="medium",
    tab=Tab.RELIABILITY,
)
def functions(context: WidgetContext) -> dict[str, object]:
    ranked = latencies.rank_series(
        SeriesKind.FUNCTION, context.since, context.now, limit=MAX_FUNCTIONS
    )
    return {
        "functions": [
            {
                "name": one.name,
                "app": one.app,
                "count": one.summary.count,
                "p95": one.summary.percentile(0.95),
                "failure_percent": _to_percent(one.summary.failure_share),
                "state": _state(one.summary),
            }
            for one in ranked
        ]
    }


def _to_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _state(summary: latencies.LatencySummary) -> str:
    """Return the state of a function: "failing", "degraded" or "healthy".

    A function is failing if more than 5 % of its calls failed, and degraded if its mean duration exceeds SLOW_MS.
    """
    if (summary.failure_share or 0) > MAX_FAILURE_SHARE:
        return "failing"
    return "degraded" if (summary.mean_ms or 0) > SLOW_MS else "healthy"
