"""Show reservations, with their orders, for a selected part of the timeline on the system-health page."""

from datetime import datetime

from django.urls import reverse

from core.lib.app_access import limit
from health.extension_points import IntervalRow, IntervalSection, interval_section
from reservations.models import Reservation

_MAX_ROWS = 10


@interval_section("reservations.created")
def reservations_created(since: datetime, until: datetime) -> IntervalSection:
    found = limit(Reservation.objects.filter(created_at__gte=since, created_at__lt=until))
    return IntervalSection(
        "Reservations",
        found.count(),
        [
            IntervalRow(
                f"Order {one.order_id}" if one.order_id else f"Reservation {str(one.uuid)[:8]}",
                one.get_status_display().lower(),
                reverse("reservations:reservation-page", args=[one.uuid]),
            )
            for one in found.order_by("-created_at")[:_MAX_ROWS]
        ],
        url=reverse("reservations:overview"),
    )
