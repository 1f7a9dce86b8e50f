"""List new, regressed and worsened groups for the digest, which is sent every 15 minutes, up to MAX_GROUPS groups."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from alerts.extension_points import DigestItem, DigestReason, digest_source
from alerts.extension_points import Severity as AlertSeverity
from core.lib.app_access import limit
from errors.models import ErrorGroup, Severity
from errors.queries import pages

MAX_GROUPS = 500
# A group has worsened if it had at least MIN_WORSE_COUNT events in this hour, and more than WORSE_FACTOR times as many
# as in an average hour of the previous 23.
WORSE_FACTOR = 3
MIN_WORSE_COUNT = 10
# Maps the severity of a group to the severity of an alert.
SEVERITIES = {
    Severity.CRITICAL: AlertSeverity.CRITICAL,
    Severity.HIGH: AlertSeverity.HIGH,
    Severity.WARNING: AlertSeverity.WARNING,
}


@digest_source("errors")
def error_groups(since: datetime, until: datetime) -> Iterator[DigestItem]:
    changed = (
        limit(ErrorGroup.objects.unresolved())
        .exclude(severity=Severity.INFO)
        .filter(Q(last_seen_at__gt=since) | Q(regressed_at__gt=since))
        .filter(first_seen_at__lte=until)
        .select_related("app")
        .order_by("-event_count", "pk")[:MAX_GROUPS]
    )
    groups = list(changed)
    hours = pages.sparklines(groups, until)
    for group in groups:
        reason = _reason(group, hours[group.pk], since)
        if reason:
            yield DigestItem(
                key=f"error-group:{group.pk}",
                title=f"{group.app}: {group.title}",
                reason=reason,
                count=group.event_count,
                first_at=group.first_seen_at,
                last_at=group.last_seen_at,
                severity=SEVERITIES.get(Severity(group.severity), AlertSeverity.HIGH),
                sample=group.culprit,
                url=reverse("errors:group-detail", args=[group.pk]),
                regressed_at=group.regressed_at,
            )


def _reason(group: ErrorGroup, hours: list[int], since: datetime) -> DigestReason | None:
    if group.first_seen_at > since:
        return DigestReason.NEW
    if group.regressed_at and group.regressed_at > since:
        return DigestReason.REGRESSED
    *before, this_hour = hours
    usual = sum(before) / len(before) if before else 0
    is_worse = this_hour >= MIN_WORSE_COUNT and this_hour > WORSE_FACTOR * usual
    return DigestReason.WORSE if is_worse else None
