"""Alert rules on errors. They read only roll-ups, so that their cost does not depend on the number of errors."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.extension_points import Cadence, Measured, Reading, alert_rule
from alerts.extension_points import Severity as AlertSeverity
from errors.models import ErrorGroup, Severity, Status
from errors.queries import counts
from health.queries.usage import request_count

HOUR = timedelta(hours=1)
HIGH_ERROR_RATE = "high-error-rate"


@alert_rule(
    "errors.critical",
    summary="Critical errors",
    unit="errors",
    threshold=5,
    window=HOUR,
    severity=AlertSeverity.CRITICAL,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
)
def critical_errors(since: datetime, until: datetime) -> Measured:
    return counts.count(since, until, Severity.CRITICAL)


@alert_rule(
    "errors.high",
    summary="High-severity errors",
    unit="errors",
    threshold=20,
    window=HOUR,
    severity=AlertSeverity.HIGH,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
)
def high_errors(since: datetime, until: datetime) -> Measured:
    return counts.count(since, until, Severity.HIGH)


@alert_rule(
    "errors.rate",
    summary="High error rate",
    unit="%",
    threshold=5,
    window=HOUR,
    severity=AlertSeverity.CRITICAL,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
    min_samples=20,
)
def error_rate(since: datetime, until: datetime) -> Measured:
    requests = request_count(since, until)
    if not requests:
        return None  # no app reports its requests, so there is no rate
    errors = counts.count(since, until, Severity.HIGH, Severity.CRITICAL)
    share = 100 * errors / requests
    return Reading(
        share,
        samples=requests,
        message=f"{errors:,} errors in {requests:,} requests: {share:.1f} %",
    )


@alert_rule(
    "errors.new_groups",
    summary="Many new error groups",
    unit="groups",
    threshold=10,
    window=timedelta(minutes=15),
    severity=AlertSeverity.HIGH,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
)
def new_groups(since: datetime, until: datetime) -> Measured:
    return (
        ErrorGroup.objects.visible()
        .filter(first_seen_at__gt=since, first_seen_at__lte=until)
        .exclude(severity=Severity.INFO)
        .count()
    )


_MAX_REGRESSIONS = 20


@alert_rule(
    "errors.regressed",
    summary="Regressed errors",
    unit="groups",
    threshold=0,
    clear_threshold=0,
    window=timedelta(hours=24),
    severity=AlertSeverity.HIGH,
    alert_type="regression",
    cadence=Cadence.ERRORS,
)
def regressions(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield one reading per regressed group, until staff resolve or mute it again, or a day has passed."""
    groups = ErrorGroup.objects.visible().filter(
        status=Status.REGRESSED, regressed_at__gt=since, regressed_at__lte=until
    )
    for group in groups.select_related("app").order_by("-regressed_at")[:_MAX_REGRESSIONS]:
        yield Reading(
            1,
            labels=(("group", str(group.pk)),),
            title=f"Regressed: {group.title}"[:200],
            message=f"{group.title} ({group.app}) regressed at {group.regressed_at:%Y-%m-%d %H:%M} UTC",
            metadata={"group": group.pk, "app": group.app.slug},
        )
