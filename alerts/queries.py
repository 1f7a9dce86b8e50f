"""What others ask about alerts."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.utils import timezone

from alerts.models import AlertState, SystemAlert
from alerts.rules import Severity


@dataclass(frozen=True)
class ActiveSummary:
    """The worst few active alerts, and how many there are of which kind."""

    alerts: list[SystemAlert]
    total: int
    critical_count: int
    warning_count: int  # everything active that is neither critical nor info
    overdue_count: int
    unread_count: int
    unanswered_count: int


def active_summary(limit: int = 5, *, now: datetime | None = None) -> ActiveSummary:
    now = now or timezone.now()
    is_overdue = Q(state=AlertState.OPEN, respond_by__lt=now)
    counts = SystemAlert.objects.active().aggregate(
        total=Count("pk"),
        critical=Count("pk", filter=Q(severity=Severity.CRITICAL)),
        info=Count("pk", filter=Q(severity=Severity.INFO)),
        overdue=Count("pk", filter=is_overdue),
        unread=Count("pk", filter=Q(read_at=None)),
        unanswered=Count("pk", filter=Q(is_unanswered=True)),
    )
    return ActiveSummary(
        alerts=list(SystemAlert.objects.active().worst_first()[:limit]),
        total=counts["total"],
        critical_count=counts["critical"],
        warning_count=counts["total"] - counts["critical"] - counts["info"],
        overdue_count=counts["overdue"],
        unread_count=counts["unread"],
        unanswered_count=counts["unanswered"],
    )
