"""Create the initial alert types and channels, and one row per registered rule.

Changes by staff are never overwritten.
"""

import re
from datetime import timedelta

from django.db import transaction

from alerts.channels import TRANSPORTS, list_missing_fields
from alerts.extension_points import (
    ALL_CHANNELS,
    TEAM_CHANNELS,
    Rule,
    Severity,
    TypeDefaults,
    alert_rules,
    alert_types,
)
from alerts.models import AlertRule, AlertType, Channel, EscalationStep

# The response time, the channels and the escalation channels of a type that defines none of these, by severity.
BY_SEVERITY = {
    Severity.CRITICAL: (timedelta(minutes=15), TEAM_CHANNELS, ALL_CHANNELS),
    Severity.HIGH: (timedelta(hours=1), TEAM_CHANNELS, TEAM_CHANNELS),
    Severity.WARNING: (timedelta(hours=4), ("email",), TEAM_CHANNELS),
    Severity.MEDIUM: (timedelta(hours=4), ("email",), TEAM_CHANNELS),
    Severity.INFO: (None, (), ()),
}


def sync_defaults() -> None:
    """Create the channels, types and rules that do not exist in the database yet."""
    sync_channels()
    sync_types()
    sync_rules()


def sync_channels() -> None:
    """Create missing channels of the kinds that the portal's settings configure completely. Staff add all others."""
    existing = set(Channel.objects.values_list("name", flat=True))
    for transport in TRANSPORTS.values():
        draft = Channel(
            name=transport.kind,
            kind=transport.kind,
            uses_environment=True,
            max_per_minute=transport.max_per_minute,
        )
        has_settings = any(field.setting and field.is_shown for field in transport.fields)
        if draft.name not in existing and has_settings and not list_missing_fields(draft):
            add_default_channel(draft)


@transaction.atomic
def add_default_channel(channel: Channel) -> None:
    """Save a new channel, and route to it the types and escalation steps whose defaults name the channel."""
    channel.save()
    types: list[AlertType] = []
    steps: list[EscalationStep] = []
    for alert_type in AlertType.objects.prefetch_related("steps"):
        default = _find_defaults(alert_type.slug, Severity(alert_type.severity))
        if channel.name in default.channels:
            types.append(alert_type)
        if channel.name in default.escalate_to:
            steps += alert_type.steps.all()
    channel.alert_types.add(*types)
    routes = EscalationStep.channels.through
    routes.objects.bulk_create([routes(escalationstep=step, channel=channel) for step in steps])


def sync_types() -> None:
    """Create the alert types that apps register or rules name, unless they exist already."""
    existing = set(AlertType.objects.values_list("slug", flat=True))
    severities = {rule.alert_type: Severity(rule.severity) for rule in alert_rules}
    severities |= {default.slug: default.severity for default in alert_types}
    for slug, severity in severities.items():
        if slug not in existing:
            _get_or_create_type(_find_defaults(slug, severity))


def sync_rules() -> int:
    """Create missing rows for the rules from code, and return their number.

    In existing rows, update the fields that staff cannot edit.
    """
    rows = {rule.name: rule for rule in AlertRule.objects.all()}
    created_count = 0
    for rule in alert_rules:
        row = rows.get(rule.name)
        if row is None:
            created_count += get_or_create_rule(rule)[1]
        elif (row.summary, row.unit, row.below) != (rule.summary, rule.unit, rule.below):
            AlertRule.objects.filter(pk=row.pk).update(
                summary=rule.summary, unit=rule.unit, below=rule.below
            )
    return created_count


def get_or_create_rule(rule: Rule) -> tuple[AlertRule, bool]:
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


def get_or_create_type(slug: str, severity: str) -> AlertType:
    """Return the alert type with this slug. If it does not exist, create it with the defaults of the severity."""
    existing = AlertType.objects.filter(slug=slug).first()
    if existing:
        return existing
    return _get_or_create_type(_find_defaults(slug, Severity(severity)))


def _find_defaults(slug: str, severity: Severity) -> TypeDefaults:
    """Return the defaults that an app registered for the type, or else the defaults for the severity.

    The defaults for the severity also apply to a registered type that defines no channels, no response time and no
    daily digest.
    """
    name = _build_name(slug)
    if slug in alert_types:
        registered = alert_types.get(slug)
        if registered.channels or registered.respond_within or registered.digest_only:
            return registered
        name, severity = registered.name, registered.severity
    respond_within, channels, escalate_to = BY_SEVERITY[severity]
    return TypeDefaults(
        slug,
        name,
        severity,
        respond_within,
        channels,
        escalate_to,
        digest_only=severity == Severity.INFO,
    )


def _build_name(slug: str) -> str:
    """Return a name for a type: the summary of its only rule, or else the words of the slug."""
    summaries = {rule.summary for rule in alert_rules if rule.alert_type == slug}
    if len(summaries) == 1:
        return summaries.pop()[:100]
    return re.sub("[._-]", " ", slug).capitalize()[:100]


@transaction.atomic
def _get_or_create_type(default: TypeDefaults) -> AlertType:
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
