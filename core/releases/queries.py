"""Read releases and deploys."""

from dataclasses import replace
from datetime import datetime

from core.clients.models import ClientApp
from core.lib import app_access
from core.lib.charts import Chart, Mark
from core.releases.models import Deploy


def deploys_between(
    since: datetime, until: datetime, *, app: ClientApp | None = None, limit: int = 200
) -> list[Deploy]:
    """Return the newest deploys of one app, or of all apps, that finished in the time range, newest first.

    The query also loads `release` and `release.app` of each deploy.
    """
    deploys = app_access.limit(Deploy.objects.between(since, until)).select_related("release__app")
    if app is not None:
        deploys = deploys.filter(release__app=app)
    return list(deploys.newest_first()[:limit])


def deploy_marks(
    since: datetime, until: datetime, *, app: ClientApp | None = None, limit: int = 25
) -> list[Mark]:
    """Return the newest deploys of one app, or of all apps, in the time range as marks for a chart."""
    return [_mark(deploy) for deploy in deploys_between(since, until, app=app, limit=limit)]


def mark_deploys(chart: Chart, *, app: ClientApp | None = None) -> Chart:
    """Return the chart with the newest deploys of one app, or of all apps, in its time range as marks."""
    if chart.is_empty:
        return chart
    since, until = chart.span or (chart.times[0], chart.end)
    return replace(chart, marks=deploy_marks(since, until, app=app))


def _mark(deploy: Deploy) -> Mark:
    label = f"{deploy.release.app.name} {deploy.release.version} to {deploy.environment}"
    if deploy.is_derived:
        label += " (first event)"
    return Mark(deploy.finished_at, "Deploy", label, url=deploy.link)
