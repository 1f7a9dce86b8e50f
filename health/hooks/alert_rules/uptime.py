"""Define alert rules about the error budget of the 99.9 % uptime goal.

The burn rate must exceed the threshold in two windows: the long window shows that the loss is significant, and the
short window shows that it continues. See https://sre.google/workbook/alerting-on-slos/.

An outage has its own alert, so the two faster rules ignore outages. They detect components that fail intermittently but
never count as down. The slow rule covers the whole budget, including past outages.
"""

from datetime import datetime, timedelta

from alerts.extension_points import Cadence, Measured, Reading, Severity, alert_rule
from core.clients.models import ClientApp
from health.models import Component
from health.queries import uptime
from health.queries.components import app_ids_of_components
from health.verdict import Status

HOUR = timedelta(hours=1)


# A component usually has one result per minute, so a single failure would already exceed the burn rate.
MIN_FAILURES = 3


def _burn_rates(
    until: datetime, long: timedelta, short: timedelta, *, exclude_outages: bool = False
) -> list[Reading]:
    """Return the burn rate of each component, which is the lower of its rates in the two windows.

    A burn rate of 2 means that the error budget is used up twice as fast as allowed. With fewer than MIN_FAILURES
    failures in the long window, the rate is 0. A component that is down has a reading without a value.
    """
    over_long = uptime.load_recent_availability(
        long, now=until, since_status_change=exclude_outages
    )
    over_short = uptime.load_recent_availability(
        short, now=until, since_status_change=exclude_outages
    )
    readings = []
    app_ids = app_ids_of_components()
    slugs = dict(ClientApp.objects.filter(pk__in=app_ids.values()).values_list("pk", "slug"))
    for component in Component.objects.in_use():
        app = slugs.get(app_ids.get(component.pk, 0))
        metadata: dict[str, object] = {"app": app} if app else {}
        labels = (("component", component.name),)
        if component.status == Status.UNHEALTHY:
            # The outage has its own alert. A reading without a value opens no budget alert, and keeps one that is open.
            readings.append(Reading(None, labels=labels, metadata=metadata))
            continue
        in_long, in_short = over_long.get(component.pk), over_short.get(component.pk)
        if in_long and in_short:
            rate = min(in_long.burn_rate or 0.0, in_short.burn_rate or 0.0)
            readings.append(
                Reading(
                    rate if in_long.down >= MIN_FAILURES else 0.0,
                    samples=in_long.total,
                    labels=labels,
                    message=f"{component.title}: {in_long.down} of {in_long.total} results failed",
                    metadata=metadata,
                )
            )
    return readings


@alert_rule(
    "uptime.burn_fast",
    summary="Error budget burning fast (1 h and 5 min)",
    unit="times",
    threshold=14.4,
    window=HOUR,
    severity=Severity.CRITICAL,
    alert_type="uptime-budget",
)
def burn_fast(since: datetime, until: datetime) -> Measured:
    return _burn_rates(until, HOUR, timedelta(minutes=5), exclude_outages=True)


@alert_rule(
    "uptime.burn_medium",
    summary="Error budget burning (6 h and 30 min)",
    unit="times",
    threshold=6,
    window=timedelta(hours=6),
    severity=Severity.HIGH,
    alert_type="uptime-budget",
)
def burn_medium(since: datetime, until: datetime) -> Measured:
    return _burn_rates(until, timedelta(hours=6), timedelta(minutes=30), exclude_outages=True)


@alert_rule(
    "uptime.burn_slow",
    summary="Error budget burning slowly (3 d and 6 h)",
    unit="times",
    threshold=1,
    window=timedelta(days=3),
    severity=Severity.MEDIUM,
    alert_type="uptime-budget",
    cadence=Cadence.PERFORMANCE,
    min_samples=60,  # In its first hour, a monitor has too short a history.
)
def burn_slow(since: datetime, until: datetime) -> Measured:
    return _burn_rates(until, timedelta(days=3), timedelta(hours=6))
