"""Add a section about errors to the weekly report."""

from datetime import datetime

from alerts.extension_points import Fact, report_section
from core.lib import formats
from errors.models import ErrorGroup, Severity
from errors.queries import counts


@report_section("errors", title="Errors", order=250)
def errors_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    earlier = since - (until - since)
    now = counts.count_by_severity(since, until)
    before = counts.count_by_severity(earlier, since)
    groups = ErrorGroup.objects.visible()
    return [
        Fact("Errors", formats.number(sum(now.values())), formats.number(sum(before.values()))),
        Fact(
            "Critical errors",
            formats.number(now[Severity.CRITICAL]),
            formats.number(before[Severity.CRITICAL]),
        ),
        Fact(
            "New groups",
            str(groups.filter(first_seen_at__gte=since, first_seen_at__lt=until).count()),
            str(groups.filter(first_seen_at__gte=earlier, first_seen_at__lt=since).count()),
        ),
        Fact("Regressed groups", str(groups.filter(regressed_at__gte=since).count())),
        Fact("Open groups", str(groups.unresolved().count())),
    ]
