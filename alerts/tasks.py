"""Define the scheduled and queued tasks of alerts.

Every task can run twice safely: rows record what was done, and a repeated answer in Slack does no harm.
"""

from contextlib import suppress

from django.utils import timezone

from alerts import services
from alerts.channels import DeliveryFailed
from alerts.channels.http import post
from alerts.extension_points import Cadence
from alerts.services import advice, cleanup, digests, dispatch, watchdog
from core.lib.continuous import Control, continuous
from core.lib.schedules import daily, every, hourly, weekly


@continuous
def deliver(control: Control) -> None:
    """Send notifications in a separate process, so that a slow channel does not occupy a worker."""
    dispatch.run(control)


@every(minutes=1, is_urgent=True, title="Evaluate alert rules")
def evaluate_all() -> str:
    """Evaluate all rules, and open or resolve alerts accordingly."""
    return str(services.evaluate_rules(now=timezone.now()))


@every(minutes=1, is_urgent=True, title="Follow up on alerts")
def follow_up() -> dict[str, int]:
    """Send escalations, reminders and notifications that were held back, and end dismissals."""
    return services.follow_up(now=timezone.now())


@hourly(minute=0, is_urgent=True, title="Check error rates")
def check_errors() -> str:
    """Evaluate the rules about errors."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.ERRORS))


@hourly(minute=15, is_urgent=True, title="Check response times")
def check_performance() -> str:
    """Evaluate the rules about response times."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.PERFORMANCE))


@hourly(minute=30, is_urgent=True, title="Check deliveries")
def check_deliveries() -> str:
    """Evaluate the rules about SMS and e-mail delivery."""
    return str(services.evaluate_rules(now=timezone.now(), cadence=Cadence.DELIVERY))


@daily(hour=2, title="Delete old alerts")
def clean_up() -> dict[str, int]:
    """Delete expired alerts, notifications and readings."""
    return cleanup.clean_up(now=timezone.now())


@every(minutes=15, title="Send the error digest")
def send_error_digest() -> str:
    """Send new, worsening and regressed error groups to the channels that get digests."""
    return digests.send_error_digest(now=timezone.now())


@daily(hour=8, title="Send the daily digest")
def send_daily_digest() -> str:
    """Send the daily digest of the alerts whose types are sent only in the digest."""
    return digests.send_daily_digest(now=timezone.now())


@weekly(weekday=1, hour=7, title="Find noisy rules")
def find_noisy_rules() -> str:
    """List the rules that opened the most alerts, and suggest thresholds, for the weekly report at 8:00."""
    return f"{len(advice.find_noisy_rules(now=timezone.now()))} noisy rules"


@weekly(weekday=1, hour=8, title="Send the weekly report")
def send_weekly_report() -> str:
    """Send the report for the last seven days to the channels that get digests."""
    return digests.send_weekly_report(now=timezone.now())


def answer_in_slack(url: str, text: str) -> None:
    """Show the result of a button click in Slack. If this task is lost, the portal still shows the result."""
    with suppress(DeliveryFailed):
        post(
            "slack",
            url,
            json={"text": text, "response_type": "in_channel", "replace_original": False},
        )


@every(minutes=1, title="Ping the external watchdog")
def ping_watchdog() -> str:
    """Report to an external watchdog that rules are evaluated and notifications are sent."""
    return watchdog.ping(now=timezone.now())
