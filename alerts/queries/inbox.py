"""Summaries, warnings and filter choices for the inbox and the dashboard."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse

from alerts.channels import list_missing_fields
from alerts.extension_points import Severity
from alerts.models import (
    AlertRule,
    AlertState,
    AlertType,
    Channel,
    SystemAlert,
)
from alerts.models.alert import SystemAlertQuerySet
from core.lib import formats


@dataclass(frozen=True)
class ActiveSummary:
    """The number of active alerts, in total and of each kind."""

    total: int
    critical_count: int
    warning_count: int  # everything active that is neither critical nor info
    overdue_count: int
    unread_count: int
    unanswered_count: int


def active_summary(*, now: datetime) -> ActiveSummary:
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
class InboxWarning:
    """A problem with alerting itself, shown as a banner."""

    text: str
    url: str
    tone: str = "warning"


def list_warnings(*, unanswered: int) -> list[InboxWarning]:
    """Return the problems due to which an empty inbox does not mean that all is well."""
    found = []
    if unanswered:
        text = "1 alert was" if unanswered == 1 else f"{unanswered} alerts were"
        url = f"{reverse('alerts:alert-list')}?state=overdue"
        found.append(
            InboxWarning(
                f"{text} escalated through all steps and never acknowledged.", url, "critical"
            )
        )
    for channel in Channel.objects.filter(
        Q(is_enabled=True, failing_since__isnull=False)
        | (Q(is_enabled=False) & ~Q(disabled_reason=""))
    ).order_by("name"):
        url = reverse("admin:alerts_channel_change", args=[channel.pk])
        found.append(
            InboxWarning(f'The channel "{channel.name}" is {describe_channel_state(channel)}.', url)
        )
    failing = list(AlertRule.objects.failing().values_list("name", flat=True)[:5])
    if failing:
        url = reverse("admin:alerts_alertrule_changelist")
        found.append(InboxWarning(f"Rules that cannot be evaluated: {', '.join(failing)}.", url))
    return found


def describe_channel_state(channel: Channel) -> str:
    """Return the state of the channel, with the start or the reason of a failure."""
    if not channel.is_enabled:
        reason = channel.disabled_reason
        return f"disabled: {reason}" if reason else "disabled"
    missing = list_missing_fields(channel)
    if missing:
        return f"not configured: {', '.join(missing)}"
    if channel.failing_since:
        return f"failing since {formats.stamp(channel.failing_since)}: {channel.last_error}"
    return "working" if channel.last_success_at else "configured, nothing sent yet"


def list_types() -> list[tuple[str, str]]:
    return list(AlertType.objects.order_by("name").values_list("slug", "name"))


def list_sources() -> list[str]:
    """Return the apps of all rules and the sources of active alerts, without a scan of all alerts."""
    of_rules = {name.partition(".")[0] for name in AlertRule.objects.values_list("name", flat=True)}
    of_active = set(SystemAlert.objects.active().values_list("source", flat=True).distinct())
    return sorted((of_rules | of_active) - {""})
