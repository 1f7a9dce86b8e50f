"""Define the alert rules about errors. They read roll-ups and groups, so they do not slow down as events add up."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from django.db.models import Q

from alerts.extension_points import Cadence, FindProblems, Measured, Reading, alert_rule
from alerts.extension_points import Severity as AlertSeverity
from alerts.queries import limits_of
from core.lib.app_access import limit
from errors.hooks.alert_types import HIGH_ERROR_RATE
from errors.models import ErrorGroup, Severity, Status
from errors.queries import counts
from errors.queries.mentions import GROUP, describe_group
from health.queries.usage import RequestCount, request_counts
from impact.extension_points import Problem

HOUR = timedelta(hours=1)
MAX_GROUPS = 500


def _groups_of(*severities: Severity) -> FindProblems:
    """Return a function that finds the MAX_GROUPS largest groups of these severities that were active in an alert."""

    def find(labels: Mapping[str, str], since: datetime, until: datetime) -> list[Problem]:
        seen = limit(
            ErrorGroup.objects.filter(
                severity__in=severities, last_seen_at__gte=since, first_seen_at__lte=until
            )
        ).order_by("-event_count")
        return [Problem(GROUP, pk) for pk in seen.values_list("pk", flat=True)[:MAX_GROUPS]]

    return find


def _groups_of_app(labels: Mapping[str, str], since: datetime, until: datetime) -> list[Problem]:
    """Return the app's MAX_GROUPS largest groups of at least severity high that were active during the alert."""
    seen = limit(
        ErrorGroup.objects.filter(
            app__name=labels.get("app", ""), last_seen_at__gte=since, first_seen_at__lte=until
        )
    ).exclude(severity__in=[Severity.INFO, Severity.WARNING])
    ids = seen.order_by("-event_count").values_list("pk", flat=True)
    return [Problem(GROUP, pk) for pk in ids[:MAX_GROUPS]]


def _new_groups(labels: Mapping[str, str], since: datetime, until: datetime) -> list[Problem]:
    new = limit(ErrorGroup.objects.filter(first_seen_at__gt=since, first_seen_at__lte=until))
    ids = new.exclude(severity=Severity.INFO).order_by("pk").values_list("pk", flat=True)
    return [Problem(GROUP, pk) for pk in ids[:MAX_GROUPS]]


def _labelled_group(labels: Mapping[str, str], since: datetime, until: datetime) -> list[Problem]:
    group = limit(ErrorGroup.objects.filter(pk=labels.get("group", 0))).first()
    return list(describe_group(group).problems) if group else []


@alert_rule(
    "errors.critical",
    summary="Critical errors",
    unit="errors",
    threshold=5,
    window=HOUR,
    severity=AlertSeverity.CRITICAL,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
    problems=_groups_of(Severity.CRITICAL),
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
    problems=_groups_of(Severity.HIGH),
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
    min_samples=100,  # With fewer requests, a few failures would already be a high rate.
    problems=_groups_of_app,
)
def error_rate(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield the percentage of failed requests for each app that reports its requests.

    Each environment of an app is measured separately. An app has only one reading, so it has at most one alert. The
    reading is from its worst environment, but environments with too few requests are used only if all have too few. If
    an app measures only a sample of its requests, the minimum applies to the measured requests.
    """
    min_samples = limits_of("errors.rate").min_samples
    by_app: dict[str, list[RequestCount]] = {}
    for counted in request_counts(since, until):
        by_app.setdefault(counted.app, []).append(counted)
    for app, environments in sorted(by_app.items()):
        worst = max(
            environments,
            key=lambda one: (one.measured >= min_samples, one.failed_percent, one.measured),
        )
        where = f"{app} ({worst.environment})" if worst.environment else app
        yield Reading(
            worst.failed_percent,
            samples=worst.measured,
            labels=(("app", app),),
            message=f"{where}: {_describe_rate(worst)}",
            metadata={"environment": worst.environment} if worst.environment else {},
        )


def _describe_rate(counted: RequestCount) -> str:
    failed = (
        f"{counted.failed:,} of {counted.total:,} requests failed, {counted.failed_percent:.1f} %"
    )
    if counted.measured == counted.total:
        return failed
    return f"about {failed} (estimated from {counted.measured:,} sampled ones)"


@alert_rule(
    "errors.new_groups",
    summary="Many new error groups",
    unit="groups",
    threshold=10,
    window=timedelta(minutes=15),
    severity=AlertSeverity.HIGH,
    alert_type=HIGH_ERROR_RATE,
    cadence=Cadence.ERRORS,
    problems=_new_groups,
)
def new_groups(since: datetime, until: datetime) -> Measured:
    return (
        ErrorGroup.objects.visible()
        .filter(first_seen_at__gt=since, first_seen_at__lte=until)
        .exclude(severity=Severity.INFO)
        .count()
    )


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
    problems=_labelled_group,
)
def regressions(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield a reading for each regressed group that regressed or was last seen after `since`.

    The alert therefore ends when staff resolve or mute the group, or after a window without events.
    """
    groups = (
        ErrorGroup.objects.visible()
        .filter(status=Status.REGRESSED, regressed_at__lte=until)
        .filter(Q(regressed_at__gt=since) | Q(last_seen_at__gt=since))
        .values_list("pk", "title", "app__name", "app__slug", "regressed_at")
    )
    for pk, title, app_name, app_slug, regressed_at in groups.order_by("-regressed_at", "pk"):
        yield Reading(
            1,
            labels=(("group", str(pk)),),
            title=f"Regressed: {title}"[:200],
            message=f"{title} ({app_name}) regressed at {regressed_at:%Y-%m-%d %H:%M} UTC",
            metadata={"group": pk, "app": app_slug},
        )
