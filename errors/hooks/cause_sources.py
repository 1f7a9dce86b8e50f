"""Contribute new and regressed errors to the possible causes of a problem."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from errors.models import ErrorGroup, Severity
from errors.queries.onset import group_identity
from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source

MAX_GROUPS = 200


@cause_source("errors.groups")
def groups(onset: Onset) -> Iterator[Change]:
    """Yield a change for each severe group that was first seen or regressed from `onset.since` to `onset.at`.

    Only the MAX_GROUPS groups that were seen last are read.
    """
    span = (onset.since, onset.at)
    found = (
        ErrorGroup.objects.visible()
        .filter(severity__in=[Severity.HIGH, Severity.CRITICAL])
        .filter(Q(first_seen_at__range=span) | Q(regressed_at__range=span))
    )
    for group in found.order_by("-last_seen_at", "-pk")[:MAX_GROUPS]:
        at, what = group.first_seen_at, "New error"
        if group.regressed_at and onset.since <= group.regressed_at <= onset.at:
            at, what = group.regressed_at, "Regressed error"
        yield Change(
            CauseKind.ERROR,
            f"{what}: {group.title}",
            at,
            url=reverse("errors:group-detail", args=[group.pk]),
            app_id=group.app_id,
            identity=group_identity(group.pk),
        )
