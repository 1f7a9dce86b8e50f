"""Contribute deploys, edits of apps and limits, and keys that stopped working to the possible causes of a problem."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from core.clients.models import ApiKey, ClientKey
from core.releases.queries import deploys_between
from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source
from impact.queries.causes import list_edits

MAX_OF_A_KIND = 50
MODELS = {
    "clients.clientapp": "App",
    "limits.ratelimittier": "Rate limit",
    "access.accesspolicy": "Sign-in policy",
}


@cause_source("releases.deploys")
def deploys(onset: Onset) -> Iterator[Change]:
    """Yield reported deploys, and releases that were first seen in an environment."""
    for deploy in deploys_between(onset.since, onset.until, limit=MAX_OF_A_KIND):
        release = deploy.release
        name = f"{release.app.name} {release.version}"
        if deploy.is_derived:
            kind = CauseKind.RELEASE
            label = f"{name} first seen in {deploy.environment}"
        else:
            kind = CauseKind.DEPLOY
            label = f"Deploy of {name} to {deploy.environment}"
        is_during = deploy.started_at and deploy.started_at <= onset.at < deploy.finished_at
        yield Change(
            kind,
            label,
            (is_during and deploy.started_at) or deploy.finished_at,
            url=reverse("errors:release-detail", args=[release.pk]),
            app_id=release.app_id,
            environment=deploy.environment,
            release=release.version,
        )


@cause_source("clients.settings")
def settings(onset: Onset) -> Iterator[Change]:
    """Yield the edits of apps, rate limits and the sign-in policy."""
    return list_edits(onset, MODELS)


@cause_source("clients.keys")
def keys(onset: Onset) -> Iterator[Change]:
    """Yield keys that were revoked or expired. A rotated key is revoked when its grace period ends."""
    span = (onset.since, onset.at)
    dsn_keys = ClientKey.objects.filter(revoked_at__range=span).select_related("app")
    for key in dsn_keys[:MAX_OF_A_KIND]:
        if key.revoked_at:
            yield _ended(
                f"DSN key {key.label} of {key.app.name} revoked", key.revoked_at, key.app_id
            )
    ended = Q(revoked_at__range=span) | Q(expires_at__range=span)
    for api_key in ApiKey.objects.filter(ended).select_related("app")[:MAX_OF_A_KIND]:
        name = f"API key {api_key.label} of {api_key.app.name}"
        for at, what in ((api_key.revoked_at, "revoked"), (api_key.expires_at, "expired")):
            if at and onset.since <= at <= onset.at:
                yield _ended(f"{name} {what}", at, api_key.app_id)


def _ended(label: str, at: datetime, app_id: int) -> Change:
    url = reverse("clients:key-list", args=[app_id])
    return Change(CauseKind.SETTING, label, at, url=url, app_id=app_id)
