"""Burn rates for the 99.9 % goal.

Both windows must exceed: the long one shows that it matters, the short one that it still goes on.
https://sre.google/workbook/alerting-on-slos/

An outage has an alert of its own, and one problem is one alert: the faster two tell of what fails now and then, too
seldom in a row to be called down. The slow one is a ticket on the budget, outages included.
"""

from datetime import datetime, timedelta

from alerts.rules import Cadence, Measured, Reading, Severity, alert_rule
from health.models import Component
from health.queries import uptime
from health.verdict import Status

HOUR = timedelta(hours=1)


# With one result a minute a single bad minute is already "too fast"; that is what damping is for.
FEWEST_FAILURES = 3


def _burning(
    until: datetime, long: timedelta, short: timedelta, *, but_outages: bool = False
) -> list[Reading]:
    """How many times faster than allowed each component uses up its error budget: the lesser of both windows."""
    over_long = uptime.recent_shares(long, now=until, since_turned=but_outages)
    over_short = uptime.recent_shares(short, now=until, since_turned=but_outages)
    found = []
    for component in Component.objects.in_use().exclude(status=Status.UNHEALTHY):
        shares = (over_long.get(component.pk), over_short.get(component.pk))
        rates = [share.burn_rate or 0.0 for share in shares if share]
        if len(rates) == 2 and shares[0]:
            found.append(
                Reading(
                    min(rates) if shares[0].down >= FEWEST_FAILURES else 0.0,
                    samples=shares[0].up + shares[0].down,
                    labels=(("component", component.name),),
                    message=f"{component.title}: {shares[0].down} of"
                    f" {shares[0].up + shares[0].down} answers failed",
                )
            )
    return found


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
    return _burning(until, HOUR, timedelta(minutes=5), but_outages=True)


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
    return _burning(until, timedelta(hours=6), timedelta(minutes=30), but_outages=True)


@alert_rule(
    "uptime.burn_slow",
    summary="Error budget burning slowly (3 d and 6 h)",
    unit="times",
    threshold=1,
    window=timedelta(days=3),
    severity=Severity.MEDIUM,
    alert_type="uptime-budget",
    cadence=Cadence.PERFORMANCE,
    min_samples=60,  # a monitor that was added this hour has no three days to speak of
)
def burn_slow(since: datetime, until: datetime) -> Measured:
    return _burning(until, timedelta(days=3), timedelta(hours=6))
