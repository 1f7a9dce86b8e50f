"""What alerts do by themselves. Everything is safe to run twice: the rows know what was done."""

from django.utils import timezone

from alerts import services
from alerts.services import cleanup
from opsportal.lib.schedules import daily, every, hourly


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
