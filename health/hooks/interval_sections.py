"""List the alerts in an interval that a user selects on the timeline of the system-health page."""

from datetime import datetime

from django.urls import reverse

from alerts.models import SystemAlert
from core.lib.app_access import limit
from health.extension_points import IntervalRow, IntervalSection, interval_section

_MAX_ROWS = 10


@interval_section("alerts.opened")
def alerts_opened(since: datetime, until: datetime) -> IntervalSection:
    alerts = limit(SystemAlert.objects.filter(opened_at__gte=since, opened_at__lt=until))
    return IntervalSection(
        "Alerts",
        alerts.count(),
        [
            IntervalRow(alert.title, f"{alert.severity}, {alert.state}", alert.get_absolute_url())
            for alert in alerts.order_by("-opened_at")[:_MAX_ROWS]
        ],
        url=reverse("alerts:alert-list"),
    )
