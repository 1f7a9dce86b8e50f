"""What others ask about alerts."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

from alerts.channels import missing
from alerts.models import (
    AlertRule,
    AlertState,
    AlertType,
    Channel,
    SystemAlert,
)
from alerts.models.alert import SystemAlertQuerySet
from alerts.rules import Severity
from opsportal.lib import formats


@dataclass(frozen=True)
class ActiveSummary:
    """How many active alerts there are of which kind."""

    total: int
    critical_count: int
    warning_count: int  # everything active that is neither critical nor info
    overdue_count: int
    unread_count: int
    unanswered_count: int


def active_summary(*, now: datetime | None = None) -> ActiveSummary:
    now = now or timezone.now()
    is_overdue = Q(state=AlertState.OPEN, respond_by__lt=now)
    counts = SystemAlert.objects.active().aggregate(
        total=Count("pk"),
        critical=Count("pk", filter=Q(severity=Severity.CRITICAL)),
        info=Count("pk", filter=Q(severity=Severity.INFO)),
        overdue=Count("pk", filter=is_overdue),
        unread=Count("pk", filter=Q(read_at=None)),
        unanswered=Count("pk", filter=Q(state=AlertState.OPEN, is_unanswered=True)),
    )
    return ActiveSummary(
        total=counts["total"],
        critical_count=counts["critical"],
        warning_count=counts["total"] - counts["critical"] - counts["info"],
        overdue_count=counts["overdue"],
        unread_count=counts["unread"],
        unanswered_count=counts["unanswered"],
    )


Alerts = SystemAlertQuerySet


@dataclass(frozen=True)
class Trouble:
    """Something that keeps alerts from working as they should, for a banner."""

    text: str
    url: str
    tone: str = "warning"


def troubles(*, unanswered: int) -> list[Trouble]:
    """What staff must know before they trust a quiet inbox; `unanswered` alerts are among it."""
    found = []
    if unanswered:
        text = "1 alert was" if unanswered == 1 else f"{unanswered} alerts were"
        url = f"{reverse('alerts:alert-list')}?state=overdue"
        found.append(
            Trouble(f"{text} escalated to everybody and nobody answered.", url, "critical")
        )
    for channel in Channel.objects.filter(
        Q(is_enabled=True, failing_since__isnull=False)
        | (Q(is_enabled=False) & ~Q(disabled_reason=""))
    ).order_by("name"):
        url = reverse("admin:alerts_channel_change", args=[channel.pk])
        found.append(Trouble(f"The channel {channel.name} is {state_in_words(channel)}.", url))
    failing = list(AlertRule.objects.failing().values_list("name", flat=True)[:5])
    if failing:
        url = reverse("admin:alerts_alertrule_changelist")
        found.append(Trouble(f"Rules that cannot be evaluated: {', '.join(failing)}.", url))
    return found


def state_in_words(channel: Channel) -> str:
    """How a channel is doing, and since when or why."""
    if not channel.is_enabled:
        reason = channel.disabled_reason
        return f"disabled because: {reason}" if reason else "disabled"
    lacking = missing(channel)
    if lacking:
        return f"not configured: {', '.join(lacking)}"
    if channel.failing_since:
        return f"failing since {formats.stamp(channel.failing_since)}: {channel.last_error}"
    return "working" if channel.last_success_at else "configured, nothing sent yet"


def types_in_use() -> list[tuple[str, str]]:
    return list(AlertType.objects.order_by("name").values_list("slug", "name"))


def sources_in_use() -> list[str]:
    """Few, and on an index of its own kind: every rule's app, and what reported in the open."""
    of_rules = {name.partition(".")[0] for name in AlertRule.objects.values_list("name", flat=True)}
    of_active = set(SystemAlert.objects.active().values_list("source", flat=True).distinct())
    return sorted((of_rules | of_active) - {""})
