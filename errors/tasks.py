"""Define the tasks of this app. The admin shows the first line of a task's docstring as its purpose."""

from django.utils import timezone

from core.lib.schedules import every, hourly
from errors.services import (
    artifact_retention,
    count_rollups,
    deletion,
    release_counts,
    resolution,
    retention,
)


@hourly(minute=10, title="Delete old events")
def prune() -> dict[str, int]:
    """Delete events past their app's retention."""
    return retention.prune(now=timezone.now())


@hourly(minute=25, title="Delete old source maps")
def prune_source_maps() -> dict[str, int]:
    """Delete source maps that are unused for a long time or exceed their app's storage limit."""
    now = timezone.now()
    removed = artifact_retention.prune(now=now)
    return {**removed, "resolved events": artifact_retention.prune_resolved(now=now)}


@hourly(minute=1, title="Count errors by hour")
def add_up_hours() -> dict[str, int]:
    """Add up the errors of recent hours for charts of more than two hours."""
    return {"counts": count_rollups.roll_up(now=timezone.now())}


@every(minutes=1, title="Apply source maps")
def resolve_source_maps() -> dict[str, int]:
    """Replace minified frames of new events with the frames of the original code."""
    now = timezone.now()
    return {
        "uploads": resolution.settle_uploads(now=now),
        "events": resolution.resolve_pending(now=now),
        "given up": resolution.give_up(now=now),
    }


@every(minutes=1, title="Count events by release")
def count_releases() -> dict[str, int]:
    """Add up the events and affected users of each release."""
    return {"counts": release_counts.roll_up(now=timezone.now())}


@every(minutes=1, title="Finish deletions of errors")
def continue_deletions() -> dict[str, int]:
    """Delete the remaining events of deleted errors, and of users whose events staff deleted."""
    return {"finished": deletion.continue_deletions()}


def resolve_events() -> int:
    """Resolve the events that the store has marked."""
    return resolution.resolve_pending(now=timezone.now())


def resolve_waiting(app_id: int) -> int:
    """Resolve an app's recent events after an upload of source maps."""
    now = timezone.now()
    resolution.queue_waiting(app_id, now=now)
    return resolution.resolve_pending(now=now)
