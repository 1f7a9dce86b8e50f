"""Determine the onset of an error group: when and where it began to occur. The search for causes starts from it."""

from datetime import datetime, timedelta

from core.lib.steps import find_step
from errors.models import ErrorEvent, ErrorGroup, GroupHour, GroupTag, hour_of, hour_start
from impact.causes import Onset

BURST_HOURS = 7 * 24  # The search for a burst covers this many hours before the last event.
MIN_BURST = 10  # Minimum rise in events per hour that counts as a burst.
MAX_ENVIRONMENTS = 10


def onset_of_group(group: ErrorGroup) -> Onset:
    """Return the onset: when the group was first seen, regressed, or became much more frequent, whichever is latest."""
    family = group.family
    burst_at = _burst_at(group, family)
    at = max(one for one in (group.first_seen_at, group.regressed_at, burst_at) if one)
    release = {
        group.first_seen_at: group.first_release,
        group.regressed_at: group.regressed_in_release,
    }.get(at, "")
    environments = (
        GroupTag.objects.filter(group_id__in=family, key="environment", count__gt=0)
        .exclude(value="")
        .values_list("value", flat=True)
        .distinct()[:MAX_ENVIRONMENTS]
    )
    return Onset(
        at=at,
        app_ids=frozenset({group.app_id}),
        environments=frozenset(environments),
        releases=frozenset({release} if release else ()),
        own=frozenset(group_identity(pk) for pk in family),
        text="\n".join([group.title, group.culprit, group.function, group.category]),
    )


def group_identity(pk: int) -> str:
    return f"group {pk}"


def _burst_at(group: ErrorGroup, family: list[int]) -> datetime | None:
    """Return the time of the first event of a burst in which the group became much more frequent, or None.

    If the events of the burst's first hour have been deleted, return the start of this hour.
    """
    last = hour_of(group.last_seen_at)
    first = max(last - BURST_HOURS + 1, hour_of(group.first_seen_at))
    counts = [0] * (last - first + 1)
    rows = GroupHour.objects.filter(group_id__in=family, hour__gte=first, hour__lte=last)
    for hour, count in rows.values_list("hour", "count"):
        counts[hour - first] += count
    if len(counts) < 2:
        return None
    # The values after the peak are left out, so that the drop after a burst is not mistaken for a step.
    peak = counts.index(max(counts))
    step = find_step(counts[: peak + 1], min_factor=3, min_change=MIN_BURST)
    if step is None or step.after < step.before:
        return None
    since = hour_start(first + step.position)
    events = ErrorEvent.objects.filter(group_id__in=family).received_between(
        since, since + timedelta(hours=1)
    )
    first_event = events.order_by("pk").only("pk").first()
    return first_event.received_at if first_event else since
