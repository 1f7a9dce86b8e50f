"""Rules on what apps measure: performance, deliveries, usage, users, uptime. They read roll-ups only."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.rules import Measured, Reading, Severity, alert_rule
from health.models import ActiveUser, Component, Series, SeriesKind
from health.queries import measurements, uptime
from health.services.gauges import DATABASE_SIZE
from health.verdict import Status

HOUR = timedelta(hours=1)
SLOW = "slow-performance"
NOTICEABLE_MS = (
    1_000  # nobody sets the mark for "very slow" lower, and faster calls need not be read
)


# --- performance ---------------------------------------------------------------------------------------


def _mean(kind: SeriesKind, since: datetime, until: datetime) -> Reading | None:
    summary = measurements.latency(Series.objects.total(kind), since, until)
    if summary.mean_ms is None:
        return None
    p95 = summary.percentile(0.95) or 0
    return Reading(
        summary.mean_ms,
        samples=summary.count,
        message=f"mean {summary.mean_ms:,.0f} ms over {summary.count:,} calls, p95 {p95:,.0f} ms",
    )


def _slowest(
    kinds: tuple[SeriesKind, ...], since: datetime, until: datetime, bound: float
) -> Iterator[Reading]:
    """One reading per series whose slowest call passed the bound."""
    for series in measurements.highest(kinds, since, until, above=bound):
        yield Reading(
            series.summary.highest_ms,
            samples=series.summary.count,
            labels=(("app", series.app), ("name", series.name)),
            message=f"{series.name} ({series.app}) took {series.summary.highest_ms:,.0f} ms",
        )


@alert_rule(
    "performance.slow_response",
    summary="Slow responses",
    unit="ms",
    threshold=3_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW,
    cadence="performance",
    min_samples=5,
)
def slow_response(since: datetime, until: datetime) -> Measured:
    found = [
        reading
        for kind in (SeriesKind.FUNCTION, SeriesKind.REQUEST)
        if (reading := _mean(kind, since, until))
    ]
    return max(found, key=lambda reading: reading.value, default=None)


@alert_rule(
    "performance.very_slow_response",
    summary="Very slow response",
    unit="ms",
    threshold=10_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW,
    cadence="performance",
)
def very_slow_response(since: datetime, until: datetime) -> Measured:
    return list(_slowest((SeriesKind.FUNCTION, SeriesKind.REQUEST), since, until, NOTICEABLE_MS))


@alert_rule(
    "performance.page_load",
    summary="Slow page loads",
    unit="ms",
    threshold=5_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW,
    cadence="performance",
    min_samples=5,
)
def page_load(since: datetime, until: datetime) -> Measured:
    return _mean(SeriesKind.PAGE, since, until)


# --- deliveries ----------------------------------------------------------------------------------------


def _deliveries(channel: str, since: datetime, until: datetime) -> dict[str, float]:
    outcomes = ("sent", "delivered", "failed", "bounced")
    counts = measurements.counted(
        SeriesKind.DELIVERY, [f"{channel}.{outcome}" for outcome in outcomes], since, until
    )
    return {outcome: counts[f"{channel}.{outcome}"] for outcome in outcomes}


@alert_rule(
    "delivery.failed_sms",
    summary="Failed SMS",
    unit="messages",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence="delivery",
)
def failed_sms(since: datetime, until: datetime) -> Measured:
    return _deliveries("sms", since, until)["failed"]


@alert_rule(
    "delivery.failed_emails",
    summary="Failed e-mails",
    unit="messages",
    threshold=20,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-emails",
    cadence="delivery",
)
def failed_emails(since: datetime, until: datetime) -> Measured:
    return _deliveries("email", since, until)["failed"]


@alert_rule(
    "delivery.sms_failure_rate",
    summary="High SMS failure rate",
    unit="%",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence="delivery",
)
def sms_failure_rate(since: datetime, until: datetime) -> Measured:
    counts = _deliveries("sms", since, until)
    bad = counts["failed"] + counts["bounced"]
    # An app may report attempts ("sent", then an outcome) or outcomes only: the larger is how many went out.
    total = max(counts["sent"], counts["delivered"] + bad)
    if not total:
        return None  # nothing sent is no verdict
    return Reading(100 * bad / total, samples=int(total), message=f"{bad:,.0f} of {total:,.0f} SMS")


# --- usage -----------------------------------------------------------------------------------------------


@alert_rule(
    "usage.database_size",
    summary="Database nearly full",
    unit="GB",
    threshold=8,
    window=timedelta(hours=3),
    severity=Severity.WARNING,
    alert_type="high-usage",
)
def database_size(since: datetime, until: datetime) -> Measured:
    levels = measurements.levels(DATABASE_SIZE, since=since)
    return max((level.value for level in levels), default=0) / 1e9 if levels else None


@alert_rule(
    "usage.function_calls",
    summary="Many function calls",
    unit="calls",
    threshold=400_000,
    window=timedelta(days=1),
    severity=Severity.INFO,
    alert_type="high-usage",
)
def function_calls(since: datetime, until: datetime) -> Measured:
    return measurements.function_calls(since, until)


@alert_rule(
    "usage.bandwidth",
    summary="High bandwidth this month",
    unit="GB",
    threshold=40,
    window=timedelta(days=31),
    severity=Severity.INFO,
    alert_type="high-usage",
)
def bandwidth(since: datetime, until: datetime) -> Measured:
    month = until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return measurements.bandwidth_bytes(month, until) / 1e9


# --- business ----------------------------------------------------------------------------------------------


@alert_rule(
    "business.credit_balance",
    summary="Low credit balance",
    unit="credits",
    threshold=100,
    below=True,
    window=timedelta(days=1),
    severity=Severity.HIGH,
    no_data="keep",
)
def credit_balance(since: datetime, until: datetime) -> Measured:
    return [
        Reading(level.value, labels=(("app", level.app),))
        for level in measurements.levels("credit_balance", since=since)
    ]


@alert_rule(
    "business.failed_gift_cards",
    summary="Failed gift-card provisions",
    unit="provisions",
    threshold=5,
    window=timedelta(days=1),
    severity=Severity.HIGH,
)
def failed_gift_cards(since: datetime, until: datetime) -> Measured:
    name = "gift_card_provision_failed"
    return measurements.counted(SeriesKind.COUNTER, [name], since, until)[name]


@alert_rule(
    "activity.concurrent_users",
    summary="Many concurrent users",
    unit="people",
    threshold=100,
    window=timedelta(minutes=15),
    severity=Severity.INFO,
    alert_type="high-usage",
)
def concurrent_users(since: datetime, until: datetime) -> Measured:
    return ActiveUser.objects.seen_since(since).people()


# --- uptime: burn rates for the 99.9 % goal ------------------------------------------------------------------
# Both windows must exceed: the long one shows that it matters, the short one that it still goes on.
# https://sre.google/workbook/alerting-on-slos/


# An outage has an alert of its own, and one problem is one alert: these two tell of what fails now and then, too
# seldom in a row to be called down. The slow one is a ticket on the budget, outages included.

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
    cadence="performance",
    min_samples=60,  # a monitor that was added this hour has no three days to speak of
)
def burn_slow(since: datetime, until: datetime) -> Measured:
    return _burning(until, timedelta(days=3), timedelta(hours=6))
