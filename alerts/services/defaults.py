"""What a fresh portal starts with: alert types, channels, and a row per registered rule. Staff's edits are never overwritten."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from alerts.channels import TRANSPORTS
from alerts.models import AlertRule, AlertType, Channel, EscalationStep
from alerts.rules import Rule, Severity, registry


@dataclass(frozen=True)
class TypeDefault:
    slug: str
    name: str
    severity: Severity
    respond_within: timedelta | None
    channels: tuple[str, ...]
    escalate_to: tuple[str, ...] = ()
    digest_only: bool = False


AT_ONCE = timedelta(minutes=5)  # "at once" needs a time after which it is overdue
EVERYWHERE = ("email", "slack", "sms", "pagerduty")
CHAT = ("email", "slack")

TYPES = (
    TypeDefault(
        "database-down", "Database down", Severity.CRITICAL, AT_ONCE, EVERYWHERE, EVERYWHERE
    ),
    TypeDefault(
        "high-error-rate",
        "High error rate",
        Severity.CRITICAL,
        timedelta(minutes=15),
        CHAT,
        EVERYWHERE,
    ),
    TypeDefault(
        "slow-performance", "Slow performance", Severity.HIGH, timedelta(hours=1), CHAT, CHAT
    ),
    TypeDefault(
        "low-inventory", "Low inventory", Severity.HIGH, timedelta(hours=2), ("email",), CHAT
    ),
    TypeDefault("failed-sms", "Failed SMS", Severity.MEDIUM, timedelta(hours=4), ("email",), CHAT),
    TypeDefault("high-usage", "High usage", Severity.INFO, None, (), digest_only=True),
)

# A type nobody described gets what its first alert's severity deserves.
BY_SEVERITY = {
    Severity.CRITICAL: (timedelta(minutes=15), CHAT, EVERYWHERE),
    Severity.HIGH: (timedelta(hours=1), CHAT, CHAT),
    Severity.WARNING: (timedelta(hours=4), ("email",), CHAT),
    Severity.MEDIUM: (timedelta(hours=4), ("email",), CHAT),
    Severity.INFO: (None, (), ()),
}


def sync_defaults() -> None:
    """Channels, types and rules that the code knows and the database does not have yet."""
    sync_channels()
    sync_types()
    sync_rules()


def sync_channels() -> None:
    """One channel of each kind that the settings can configure; the kinds without settings are added by staff."""
    known = set(Channel.objects.values_list("name", flat=True))
    for transport in TRANSPORTS.values():
        if transport.kind not in known and any(f.setting and f.is_shown for f in transport.fields):
            Channel.objects.get_or_create(
                name=transport.kind,
                defaults={
                    "kind": transport.kind,
                    "uses_environment": True,
                    "max_per_minute": transport.max_per_minute,
                },
            )


def sync_types() -> None:
    known = set(AlertType.objects.values_list("slug", flat=True))
    for default in TYPES:
        if default.slug not in known:
            _create_type(default)


def sync_rules() -> int:
    """How many rules were new. What only code can know (unit, direction, summary) follows the code."""
    rows = {rule.name: rule for rule in AlertRule.objects.all()}
    new = 0
    for rule in registry:
        row = rows.get(rule.name)
        if row is None:
            new += rule_row(rule)[1]
        elif (row.summary, row.unit, row.below) != (rule.summary, rule.unit, rule.below):
            AlertRule.objects.filter(pk=row.pk).update(
                summary=rule.summary, unit=rule.unit, below=rule.below
            )
    return new


def rule_row(rule: Rule) -> tuple[AlertRule, bool]:
    return AlertRule.objects.get_or_create(
        name=rule.name,
        defaults={
            "summary": rule.summary,
            "unit": rule.unit,
            "below": rule.below,
            "threshold": rule.threshold,
            "clear_threshold": rule.clear_threshold,
            "window": rule.window,
            "min_samples": rule.min_samples,
            "no_data": rule.no_data,
            "severity": rule.severity,
            "alert_type": rule.alert_type,
            "cadence": rule.cadence,
            "repeat_every": rule.repeat,
            "runbook": rule.runbook,
        },
    )


def type_for(slug: str, severity: str) -> AlertType:
    """The alert type of that name, made with what its severity deserves when it is new."""
    known = AlertType.objects.filter(slug=slug).first()
    if known:
        return known
    respond_within, channels, escalate_to = BY_SEVERITY[Severity(severity)]
    name = slug.replace(".", " ").replace("-", " ").replace("_", " ").capitalize()
    return _create_type(
        TypeDefault(
            slug,
            name[:100],
            Severity(severity),
            respond_within,
            channels,
            escalate_to,
            digest_only=severity == Severity.INFO,
        )
    )


@transaction.atomic
def _create_type(default: TypeDefault) -> AlertType:
    alert_type, created = AlertType.objects.get_or_create(
        slug=default.slug,
        defaults={
            "name": default.name,
            "severity": default.severity,
            "respond_within": default.respond_within,
            "digest_only": default.digest_only,
        },
    )
    if created:
        alert_type.channels.set(Channel.objects.filter(name__in=default.channels))
        if default.respond_within and default.escalate_to:
            step = EscalationStep.objects.create(
                alert_type=alert_type, after=default.respond_within
            )
            step.channels.set(Channel.objects.filter(name__in=default.escalate_to))
    return alert_type
