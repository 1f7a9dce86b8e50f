"""Compute statistics of reservations for the API, the system-health page and the overview."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db.models import Count, Min, Q, Sum

from core.lib.app_access import limit
from reservations.models import Cleanup, Discrepancy, Line, Reservation, Status
from reservations.models.holds import KEPT
from reservations.queries.drift import Drift


class CleanupStats(msgspec.Struct):
    at: datetime
    reservations: int
    seats: int
    duration_ms: int


class ReservationStats(msgspec.Struct):
    reservations: dict[str, int]
    seats: dict[str, int]
    # Ignores reservations whose payment is in processing, because they are held for days.
    oldest_active_at: datetime | None
    processing: int
    processing_seats: int
    expired_not_reclaimed: int
    refund_needed: int
    drift: list[str]
    cleanups: list[CleanupStats]


def collect_stats(
    *, now: datetime, since: datetime | None = None, drift: Sequence[Drift] = ()
) -> ReservationStats:
    """Count reservations and seats by status, and collect open problems. The caller has searched for drift.

    If `since` is given, the counts by status include only the reservations that were created since that time.
    """
    counted = limit(
        Reservation.objects.all() if since is None else Reservation.objects.created_since(since)
    )
    held = limit(Reservation.objects.active()).aggregate(
        oldest_at=Min("created_at", filter=Q(processing_payment=None)),
        overdue=Count("pk", filter=Q(expires_at__lte=now)),
        processing=Count("pk", filter=Q(processing_payment__isnull=False)),
    )
    return ReservationStats(
        # With all statuses, the query uses the index on the status and the time of creation.
        reservations=dict.fromkeys(Status.values, 0)
        | dict(
            counted.filter(status__in=Status)
            .values_list("status")
            .annotate(count=Count("pk"))
            .order_by()
        ),
        seats=dict.fromkeys(Status.values, 0)
        | dict(
            Line.objects.filter(reservation__in=counted)
            .values_list("reservation__status")
            .annotate(seats=Sum(KEPT))
            .order_by()
        ),
        oldest_active_at=held["oldest_at"],
        processing=held["processing"],
        processing_seats=Line.objects.filter(
            reservation__in=limit(Reservation.objects.processing())
        ).seats(),
        expired_not_reclaimed=held["overdue"],
        refund_needed=limit(Discrepancy.objects.open()).count(),
        drift=[str(found) for found in drift],
        cleanups=[
            CleanupStats(run.at, run.reservation_count, run.seat_count, run.duration_ms)
            for run in Cleanup.objects.order_by("-at", "-pk")[:12]
        ],
    )
