"""Background work: the queue, and what runs on a schedule."""

from health.dashboard import WidgetContext, widget
from opsportal.jobs import queries as jobs


@widget(
    "health.queue",
    title="Background work",
    template="health/_widget_queue.html",
    refresh=30,
    order=500,
    size="medium",
)
def queue(context: WidgetContext) -> dict[str, object]:
    return {"queue": jobs.queue_state(context.now)}


@widget(
    "health.jobs",
    title="Scheduled jobs",
    template="health/_widget_jobs.html",
    refresh=60,
    order=700,
    size="wide",
)
def scheduled_jobs(context: WidgetContext) -> dict[str, object]:
    """What is in trouble first, then what ran last."""
    lines = jobs.job_overview(context.now)

    def is_trouble(line: jobs.JobLine) -> bool:
        return line.is_late or line.last_outcome in ("failed", "lost")

    return {
        "jobs": sorted(lines, key=lambda line: (not is_trouble(line), line.next_run_at, line.name)),
        "trouble_count": sum(map(is_trouble, lines)),
    }
