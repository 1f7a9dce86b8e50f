"""Show errors on the system-health page."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.lib.app_access import limit
from core.lib.charts import Chart, Series, Threshold
from errors.models import ErrorGroup, Severity
from errors.queries import counts
from health.extension_points import Tab, WidgetContext, widget

SEVERITY_TONES = {Severity.CRITICAL: "critical", Severity.HIGH: "high", Severity.WARNING: "warning"}


def rate_now(context: WidgetContext) -> float:
    """Return the current number of errors per minute. It is read only once per page."""
    return context.load_once(lambda: counts.rate_now(context.now), key=rate_now)


def count_by_slot(context: WidgetContext) -> dict[Severity, dict[datetime, int]]:
    """Return the number of errors by severity and slot of the time range. They are counted only once per page."""
    return context.load_once(
        lambda: counts.slots(context.since, context.now, counts.step_for(context.range)),
        key=count_by_slot,
    )


def chart_errors_per_minute(
    context: WidgetContext, *, thresholds: Sequence[Threshold] = ()
) -> Chart:
    by_slot = count_by_slot(context)
    minutes = counts.step_for(context.range) / timedelta(minutes=1)
    return Chart(
        title="Errors per minute",
        times=list(by_slot[Severity.HIGH]),
        series=[
            Series(
                severity.label,
                [number / minutes for number in by_slot[severity].values()],
                kind="bars",
                tone=tone,
            )
            for severity, tone in SEVERITY_TONES.items()
        ],
        unit="/min",
        thresholds=thresholds,
    )


@widget(
    "errors.live",
    title="Errors",
    template="errors/_widget_live.html",
    refresh=30,
    order=100,
    size="medium",
    tab=Tab.RELIABILITY,
    respects_apps=True,
)
def live(context: WidgetContext) -> dict[str, object]:
    """Return the context of the widget that shows errors of severity warning and above."""
    per_minute = rate_now(context)
    by_slot = count_by_slot(context)
    chart = chart_errors_per_minute(
        context,
        thresholds=[
            Threshold(
                counts.WARNING_PER_MINUTE,
                f"warning threshold: {counts.WARNING_PER_MINUTE}/min",
                "warning",
            )
        ],
    )
    sums = {severity: sum(by_slot[severity].values()) for severity in SEVERITY_TONES}
    return {
        "chart": chart,
        "count": sum(sums[severity] for severity in SEVERITY_TONES),
        "by_severity": [(severity, sums[severity]) for severity in SEVERITY_TONES],
        "critical_count": sums[Severity.CRITICAL],
        "per_minute": per_minute,
        "is_over": per_minute > counts.WARNING_PER_MINUTE,
        "warning_per_minute": counts.WARNING_PER_MINUTE,
        "open_groups": limit(ErrorGroup.objects.unresolved()).count(),
    }
