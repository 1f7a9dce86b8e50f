"""Show the task queue and the scheduled jobs."""

from core.jobs import queries as jobs
from health.extension_points import Tab, WidgetContext, widget

MAX_JOBS = 8


@widget(
    "health.queue",
    title="Task queue",
    template="health/_widget_queue.html",
    refresh=30,
    order=500,
    size="medium",
    tab=Tab.PLATFORM,
    respects_apps=True,
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
    tab=Tab.PLATFORM,
    respects_apps=True,
)
def scheduled_jobs(context: WidgetContext) -> dict[str, object]:
    """List the scheduled jobs: failing and late jobs first, then all other jobs by their next run."""
    lines = jobs.job_overview(context.now)

    def has_problem(line: jobs.JobLine) -> bool:
        return line.is_late or line.has_failed

    ordered = sorted(lines, key=lambda line: (not has_problem(line), line.next_run_at, line.name))
    return {
        "jobs": ordered[:MAX_JOBS],
        "more_jobs": ordered[MAX_JOBS:],
        "problem_count": sum(map(has_problem, lines)),
    }
