"""What alerts do by themselves. Everything is safe to run twice: the rows know what was done."""

from django.utils import timezone

from alerts import services
from alerts.services import cleanup, digests, watchdog
from opsportal.lib.schedules import daily, every, hourly, weekly


def deliver(*, notification_id: int, **newer_arguments: object) -> str:
    """Send one notification. Another worker may have it already; then there is nothing to do."""
    return services.deliver(notification_id=notification_id, now=timezone.now())


@every(minutes=1)
def evaluate_all() -> str:
    """Every rule, each minute, so that nobody waits an hour to hear of a breach."""
    return str(services.evaluate_rules(now=timezone.now()))


@every(minutes=1)
def follow_up() -> dict[str, int]:
    """Escalations, reminders, and announcements that were held back."""
    return services.follow_up(now=timezone.now())


@every(minutes=1)
def deliver_waiting() -> dict[str, int]:
    """Retries, and what a lost nudge or a crash left behind in the outbox."""
    now = timezone.now()
    revived = services.revive_failing(now=now)
    return {"revived": revived, **services.deliver_waiting(now=now)}


@hourly(minute=0)
def check_errors() -> str:
    """The hourly check of error rates."""
    return str(services.evaluate_rules(now=timezone.now(), cadence="errors"))


@hourly(minute=15)
def check_performance() -> str:
    """The hourly check of response times."""
    return str(services.evaluate_rules(now=timezone.now(), cadence="performance"))


@hourly(minute=30)
def check_deliveries() -> str:
    """The hourly check of SMS and e-mail deliveries."""
    return str(services.evaluate_rules(now=timezone.now(), cadence="delivery"))


@daily(hour=2)
def clean_up() -> dict[str, int]:
    """Resolved alerts, old notifications and readings that are kept no longer."""
    return cleanup.clean_up(now=timezone.now())


@every(minutes=15)
def send_error_digest() -> str:
    """One mail of error groups that are new, worse or back."""
    return digests.send_error_digest(now=timezone.now())


@daily(hour=8)
def send_daily_digest() -> str:
    """One mail of what was not worth a message of its own."""
    return digests.send_daily_digest(now=timezone.now())


@weekly(weekday=1, hour=8)
def send_weekly_report() -> str:
    """How the week was, for the owners."""
    return digests.send_weekly_report(now=timezone.now())


@every(minutes=1)
def ping_watchdog() -> str:
    """A sign of life to someone outside, while evaluation and outbox both make progress."""
    return watchdog.ping(now=timezone.now())
