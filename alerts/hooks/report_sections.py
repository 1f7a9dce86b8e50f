"""The alerts section of the weekly report."""

from datetime import datetime, timedelta

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from alerts.extension_points import Fact, Severity, report_section
from alerts.models import Notification, SystemAlert
from core.lib import formats


def _count_opened(since: datetime, until: datetime) -> dict[str, int]:
    opened = SystemAlert.objects.visible().filter(opened_at__gte=since, opened_at__lt=until)
    counts: dict[str, int] = opened.aggregate(
        all=Count("pk"),
        critical=Count("pk", filter=Q(severity=Severity.CRITICAL)),
    )
    return counts


@report_section("alerts", title="Alerts", order=300)
def alerts_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    now, before = _count_opened(since, until), _count_opened(since - (until - since), since)
    taken = ExpressionWrapper(F("acknowledged_at") - F("opened_at"), output_field=DurationField())
    answer: timedelta | None = SystemAlert.objects.filter(
        acknowledged_at__gte=since, acknowledged_at__lt=until
    ).aggregate(mean=Avg(taken))["mean"]
    undelivered = Notification.objects.failed().filter(created_at__gte=since, created_at__lt=until)
    return [
        Fact("Opened", str(now["all"]), str(before["all"])),
        Fact("Critical", str(now["critical"]), str(before["critical"])),
        Fact("Still active", str(SystemAlert.objects.active().count())),
        Fact("Mean time to acknowledge", formats.span(answer) if answer else "none acknowledged"),
        Fact("Failed messages", str(undelivered.count())),
    ]
