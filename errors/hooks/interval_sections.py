"""Show errors for a selected part of the timeline on the system-health page."""

from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from errors.models import ErrorGroup
from errors.queries import counts
from health.extension_points import IntervalRow, IntervalSection, interval_section

_MAX_ROWS = 10


@interval_section("errors.groups")
def most_frequent_groups(since: datetime, until: datetime) -> IntervalSection:
    by_group = counts.count_by_group(since, until)
    frequent = sorted(by_group, key=lambda group: (-by_group[group], group))[:_MAX_ROWS]
    groups = ErrorGroup.objects.in_bulk(frequent)
    query = f"since:{since:%Y-%m-%dT%H:%M:%SZ} until:{until:%Y-%m-%dT%H:%M:%SZ}"
    return IntervalSection(
        "Errors",
        sum(by_group.values()),
        [
            IntervalRow(
                ", ".join(filter(None, [groups[pk].title, groups[pk].culprit])),
                f"{by_group[pk]:,} {'event' if by_group[pk] == 1 else 'events'}",
                reverse("errors:group-detail", args=[pk]),
            )
            for pk in frequent
            if pk in groups
        ],
        url=f"{reverse('errors:group-list')}?{urlencode({'state': 'all', 'q': query})}",
    )
