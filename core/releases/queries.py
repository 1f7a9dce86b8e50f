"""Read releases and deploys."""

from datetime import datetime

from core.clients.models import ClientApp
from core.releases.models import Deploy


def deploys_between(
    since: datetime, until: datetime, *, app: ClientApp | None = None, limit: int = 200
) -> list[Deploy]:
    """Return the newest deploys that finished in the time range, of one app or of all, newest first.

    Each has its `release` and `release.app` loaded.
    """
    deploys = Deploy.objects.between(since, until).select_related("release__app")
    if app is not None:
        deploys = deploys.filter(release__app=app)
    return list(deploys.newest_first()[:limit])
