"""Scheduled and queued work of alerts. Every task is safe to run twice, because rows record what was done."""

from django.utils import timezone

from alerts import services
from alerts.extension_points import Cadence
from alerts.services import cleanup, digests, dispatch, watchdog
from core.lib.continuous import Control, continuous
from core.lib.schedules import daily, every, hourly, weekly


@continuous
def deliver(control: Control) -> None:
    """Send notifications beside the workers, so that a slow channel occupies no worker."""
    dispatch.run(control)


@every(minutes=1, is_urgent=True)
def evaluate_all() -> str:
    """Evaluate alert rules."""
    return str(services.evaluate_rules(now=timezone.now()))


@every(minutes=1, is_urgent=True)
def follow_up() -> dict[str, int]:
    """Send escalations, reminders and held notifications."""
    return services.follow_up(now=timezone.now())


@hourly(minute=0, is_urgent=True)
def check_errors() -> str:
    """Check error rates."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.ERRORS))


@hourly(minute=15, is_urgent=True)
def check_performance() -> str:
    """Check response times."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.PERFORMANCE))


@hourly(minute=30, is_urgent=True)
def check_deliveries() -> str:
    """Check SMS and e-mail delivery."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.DELIVERY))


@daily(hour=2)
def clean_up() -> dict[str, int]:
    """Delete expired alerts, notifications and readings."""
    return cleanup.clean_up(now=timezone.now())


@every(minutes=15)
def send_error_digest() -> str:
    """Send error digest."""
    return digests.send_error_digest(now=timezone.now())


@daily(hour=8)
def send_daily_digest() -> str:
    """Send daily digest."""
    return digests.send_daily_digest(now=timezone.now())


@weekly(weekday=1, hour=8)
def send_weekly_report() -> str:
    """Send weekly report."""
    return digests.send_weekly_report(now=timezone.now())


@every(minutes=1)
def ping_watchdog() -> str:
    """Ping external watchdog."""
    return watchdog.ping(now=timezone.now())
