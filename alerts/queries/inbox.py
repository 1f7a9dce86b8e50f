"""Read summaries, warnings and filter choices for the inbox and the dashboard."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse

from alerts.extension_points import Severity
from alerts.models import (
    ACTIVE_STATES,
    AlertRule,
    AlertState,
    AlertType,
    Channel,
    SystemAlert,
)
from alerts.models.alert import SystemAlertQuerySet
from alerts.queries.channels import (
    describe_channel_state,
    has_usable_channel,
    list_unrouted_channels,
)
from core.lib.app_access import limit

LESSER_SEVERITIES = (Severity.WARNING, Severity.MEDIUM)


@dataclass(frozen=True)
class ActiveSummary:
    """The number of active alerts, in total and by severity and state."""

    total: int
    # Contains only severities that have active alerts, highest first.
    by_severity: dict[Severity, int]
    overdue_count: int
    unread_count: int
    unanswered_count: int
    # Alerts of severity info are not counted.
    dismissed_count: int

    @property
    def critical_count(self) -> int:
        return self.by_severity.get(Severity.CRITICAL, 0)

    @property
    def is_all_well(self) -> bool:
        """Return True if no alert with a severity above info is open, acknowledged or dismissed."""
        return not self.dismissed_count and not set(self.by_severity) - {Severity.INFO}

    @property
    def headline(self) -> str:
        """Return a one-line summary of the alerts, without a full stop.

        The summary does not judge the state of the systems, because figures may exceed their warning thresholds without
        an alert.
        """
        if self.is_all_well:
            return "No open alerts"
        dismissed = (
            f"{self.dismissed_count} dismissed and still firing" if self.dismissed_count else ""
        )
        if not set(self.by_severity) - {Severity.INFO}:
            return f"No open alerts, {dismissed}"
        if not set(self.by_severity) - {Severity.INFO, *LESSER_SEVERITIES}:
            count = sum(self.by_severity.get(severity, 0) for severity in LESSER_SEVERITIES)
            lesser = f"{count} open alert{'' if count == 1 else 's'} of lower severity"
            return ", ".join(["No urgent alerts", lesser, *([dismissed] if dismissed else [])])
        return f"{self.total} open alert{'' if self.total == 1 else 's'}"


def active_summary(*, now: datetime) -> ActiveSummary:
    is_active = Q(state__in=ACTIVE_STATES)
    counted = limit(SystemAlert.objects.filter(state__in=[*ACTIVE_STATES, AlertState.DISMISSED]))
    counts = counted.aggregate(
        overdue=Count("pk", filter=Q(state=AlertState.OPEN, respond_by__lt=now)),
        unread=Count("pk", filter=is_active & Q(read_at=None)),
        unanswered=Count("pk", filter=Q(state=AlertState.OPEN, is_unanswered=True)),
        dismissed=Count("pk", filter=Q(state=AlertState.DISMISSED) & ~Q(severity=Severity.INFO)),
        **{
            f"of_{severity}": Count("pk", filter=is_active & Q(severity=severity))
            for severity in Severity.values
        },
    )
    by_severity = {severity: counts[f"of_{severity}"] for severity in reversed(Severity)}
    return ActiveSummary(
        total=sum(by_severity.values()),
        by_severity={severity: count for severity, count in by_severity.items() if count},
        overdue_count=counts["overdue"],
        unread_count=counts["unread"],
        unanswered_count=counts["unanswered"],
        dismissed_count=counts["dismissed"],
    )


Alerts = SystemAlertQuerySet


@dataclass(frozen=True)
class InboxWarning:
    """A problem with alerting itself, shown as a banner in the inbox."""

    text: str
    url: str
    tone: str = "warning"


def list_warnings(*, unanswered: int) -> list[InboxWarning]:
    """Return problems with alerting that may hide alerts, so that an empty inbox does not mislead staff.

    `unanswered` is the number of open alerts that no one acknowledged although all escalation steps were taken.
    """
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
    for channel in list_unrouted_channels():
        url = reverse("alerts:routing")
        text = (
            f'The channel "{channel.name}" gets no alerts, because no alert type is routed to it.'
        )
        found.append(InboxWarning(text, url))
    if not has_usable_channel():
        text = "No channel is configured, so no one is notified. Alerts are announced after you add a channel."
        url = reverse("admin:alerts_channel_changelist")
        found.append(InboxWarning(text, url, "critical"))
    failing = list(AlertRule.objects.failing().values_list("name", flat=True)[:5])
    if failing:
        url = reverse("admin:alerts_alertrule_changelist")
        found.append(InboxWarning(f"These rules cannot be evaluated: {', '.join(failing)}.", url))
    return found


def list_types() -> list[tuple[str, str]]:
    return list(AlertType.objects.order_by("name").values_list("slug", "name"))


def list_sources() -> list[str]:
    """Return the sources of all rules and of active alerts. Resolved alerts are ignored, because there may be many."""
    of_rules = {name.partition(".")[0] for name in AlertRule.objects.values_list("name", flat=True)}
    of_active = set(limit(SystemAlert.objects.active()).values_list("source", flat=True).distinct())
    return sorted((of_rules | of_active) - {""})
