"""Show the number of errors at the top of the system-health page."""

from datetime import timedelta

from core.lib import formats
from errors.hooks.dashboard_widgets import SEVERITY_TONES, chart_errors_per_minute, rate_now
from errors.models import Severity
from errors.queries import counts
from health.extension_points import Reading, WidgetContext, overview_figure
from health.verdict import Tone

_HOUR, _WEEK = timedelta(hours=1), timedelta(weeks=1)


def describe_excess(context: WidgetContext) -> str:
    """Return a sentence if the error rate exceeds the warning threshold, or "" otherwise."""
    rate = rate_now(context)
    if rate <= counts.WARNING_PER_MINUTE:
        return ""
    return (
        f"Errors are above the warning threshold: {formats.number(rate)} per minute in the last 5 minutes, "
        f"and the threshold is {formats.number(counts.WARNING_PER_MINUTE)}"
    )


@overview_figure(
    "errors.per_minute",
    label="Errors",
    order=10,
    url_name="errors:group-list",
    on_timeline=True,
    is_less_better=True,
    describe_warning=describe_excess,
    respects_apps=True,
)
def errors_per_minute(context: WidgetContext) -> Reading:
    """Return the mean number of errors per minute in the last hour, counting severity warning and above."""
    now = context.now
    by_severity = counts.count_by_severity(now - _HOUR, now)
    in_last_hour = sum(by_severity[severity] for severity in SEVERITY_TONES)
    critical = by_severity[Severity.CRITICAL]
    return Reading(
        in_last_hour / 60,
        "/min",
        week_ago=counts.count_in_hour(now - _WEEK, *SEVERITY_TONES) / 60,
        note=f"{critical:,} critical in the last hour" if critical else "in the last hour",
        tone=Tone.CRITICAL if critical else Tone.NONE,
        chart=chart_errors_per_minute(context),
    )
