"""Create releases and record their deploys."""

from datetime import datetime, timedelta

from django.db import transaction

from core.clients.models import ClientApp
from core.lib.scrub import scrub_text
from core.releases.models import Deploy, Release

# A deploy is often reported after the new release has served its first requests.
REPORT_DELAY = timedelta(hours=1)


def ensure_release(*, app: ClientApp, version: str, now: datetime) -> Release:
    """Return the app's release with that version; create it if needed."""
    release, _ = Release.objects.get_or_create(
        app=app, version=version, defaults={"created_at": now}
    )
    return release


@transaction.atomic
def record_deploy(
    *,
    app: ClientApp,
    version: str,
    environment: str,
    source: Deploy.Source,
    now: datetime,
    name: str = "",
    url: str = "",
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> tuple[Deploy, bool]:
    """Record a deploy and return it, with False if the same deploy was recorded before.

    A deploy is the same if release, environment and time are. It replaces the one derived from the first event, unless
    it finished long after that event and is therefore another deploy of the release.
    """
    finished_at = finished_at or now
    name, url = scrub_text(name), scrub_text(url)
    release = ensure_release(app=app, version=version, now=now)
    deploy, is_new = Deploy.objects.get_or_create(
        release=release,
        environment=environment,
        finished_at=finished_at,
        defaults={"name": name, "url": url, "started_at": started_at, "source": source},
    )
    if deploy.is_derived:
        deploy.name, deploy.url, deploy.started_at, deploy.source = name, url, started_at, source
        deploy.save(update_fields=["name", "url", "started_at", "source"])
    Deploy.objects.filter(
        release=release,
        environment=environment,
        source=Deploy.Source.EVENT,
        finished_at__gte=finished_at - REPORT_DELAY,
    ).delete()
    return deploy, is_new


@transaction.atomic
def record_first_event(*, app: ClientApp, version: str, environment: str, at: datetime) -> bool:
    """Derive a deploy from the first event of a release in an environment, unless one is known. Returns True if new."""
    release = ensure_release(app=app, version=version, now=at)
    if Deploy.objects.filter(release=release, environment=environment).exists():
        return False
    _, is_new = Deploy.objects.get_or_create(
        release=release,
        environment=environment,
        source=Deploy.Source.EVENT,
        defaults={"finished_at": at},
    )
    return is_new
