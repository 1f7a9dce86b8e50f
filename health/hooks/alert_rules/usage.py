"""Define alert rules about limited resources: database size, function calls and bandwidth."""

from datetime import datetime, timedelta

from alerts.extension_points import Measured, Severity, alert_rule
from health.hooks.alert_types import HIGH_USAGE
from health.queries import usage, values
from health.services.gauges import DATABASE_SIZE


@alert_rule(
    "usage.database_size",
    summary="Database nearly full",
    unit="GB",
    threshold=8,
    window=timedelta(hours=3),
    severity=Severity.WARNING,
    alert_type=HIGH_USAGE,
)
def database_size(since: datetime, until: datetime) -> Measured:
    levels = values.latest_levels(DATABASE_SIZE, since=since, until=until)
    return max((level.value for level in levels), default=0) / 1e9 if levels else None


@alert_rule(
    "usage.function_calls",
    summary="Many function calls",
    unit="calls",
    threshold=400_000,
    window=timedelta(days=1),
    severity=Severity.INFO,
    alert_type=HIGH_USAGE,
)
def function_calls(since: datetime, until: datetime) -> Measured:
    return usage.function_call_count(since, until)


@alert_rule(
    "usage.bandwidth",
    summary="High bandwidth this month",
    unit="GB",
    threshold=40,
    window=timedelta(days=31),
    severity=Severity.INFO,
    alert_type=HIGH_USAGE,
)
def bandwidth(since: datetime, until: datetime) -> Measured:
    month = until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return usage.bandwidth_bytes(month, until) / 1e9
