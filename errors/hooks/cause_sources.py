"""New and regressed errors as causes of other problems."""

from collections.abc import Iterator

from django.urls import reverse

from errors.models import ErrorGroup, Severity
from errors.queries.onset import group_identity
from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source

MAX_GROUPS = 50


@cause_source("errors.groups")
def groups(onset: Onset) -> Iterator[Change]:
    """Yield the groups that were first seen or regressed."""
    serious = ErrorGroup.objects.visible().filter(severity__in=[Severity.HIGH, Severity.CRITICAL])
    for field, what in (("first_seen_at", "New error"), ("regressed_at", "Regressed error")):
        found = serious.filter(**{f"{field}__gte": onset.since, f"{field}__lte": onset.at})
        for group in found.order_by(f"-{field}")[:MAX_GROUPS]:
            yield Change(
                CauseKind.ERROR,
                f"{what}: {group.title}",
                getattr(group, field),
                url=reverse("errors:group-detail", args=[group.pk]),
                app_id=group.app_id,
                identity=group_identity(group.pk),
            )
