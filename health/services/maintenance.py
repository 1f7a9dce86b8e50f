"""Record the notices about maintenance windows that are sent to subscribers of the status page."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from health.models import MaintenanceNotice, MaintenancePhase, MaintenanceWindow

Phase = MaintenancePhase
NOTICE_RETENTION = timedelta(days=30)


@transaction.atomic
def record_notices(*, now: datetime) -> int:
    """Record a notice for each public window that changed its phase or time, or was deleted or hidden.

    Return the number of notices.
    """
    newest = _newest_notices()
    count = 0
    windows = MaintenanceWindow.objects.select_for_update().filter(is_public=True)
    known = windows.filter(pk__in=list(newest)) | windows.filter(ends_at__gt=now)
    for window in known.order_by("starts_at", "pk"):
        count += _record_news(window, newest.pop(window.pk, None), now)
    # The remaining notices belong to windows that were deleted or are no longer public.
    for last in newest.values():
        if last.phase == Phase.SCHEDULED:
            _record_end(last, Phase.CANCELED, now)
            count += 1
        elif last.phase == Phase.IN_PROGRESS:
            _record_end(last, Phase.COMPLETED, now)
            count += 1
    return count


def prune_notices(*, now: datetime) -> int:
    """Delete the notices about windows that ended more than NOTICE_RETENTION ago. Return the number of deleted rows."""
    before = now - NOTICE_RETENTION
    recent = MaintenanceNotice.objects.filter(at__gte=before).values("window_number")
    old = MaintenanceNotice.objects.filter(at__lt=before, ends_at__lt=before)
    return old.exclude(window_number__in=recent).delete()[0]


def _newest_notices() -> dict[int, MaintenanceNotice]:
    """Return the newest notice about each window, by the id of the window."""
    numbers = MaintenanceNotice.objects.values("window_number")
    newest = numbers.annotate(last=Max("pk")).values("last")
    return {one.window_number: one for one in MaintenanceNotice.objects.filter(pk__in=newest)}


def _record_news(window: MaintenanceWindow, last: MaintenanceNotice | None, now: datetime) -> bool:
    phase = window.phase(now)
    if last is None and phase is Phase.COMPLETED:
        return False
    is_same_phase = last is not None and last.phase == phase
    if last is not None and is_same_phase:
        is_same_time = (window.starts_at, window.ends_at) == (last.starts_at, last.ends_at)
        if is_same_time or phase is Phase.COMPLETED:
            return False
    MaintenanceNotice.objects.create(
        window_number=window.pk,
        at=now,
        phase=phase,
        is_new_time=is_same_phase,
        title=window.title,
        text=window.text,
        components=_public_titles(window),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
    )
    return True


def _record_end(last: MaintenanceNotice, phase: Phase, now: datetime) -> None:
    """Record a notice that a deleted or hidden window was canceled or completed.

    The title and times are those of its last notice.
    """
    MaintenanceNotice.objects.create(
        window_number=last.window_number,
        at=now,
        phase=phase,
        title=last.title,
        components=last.components,
        starts_at=last.starts_at,
        ends_at=last.ends_at,
    )


def _public_titles(window: MaintenanceWindow) -> list[str]:
    return sorted(window.components.filter(is_public=True).values_list("title", flat=True))
