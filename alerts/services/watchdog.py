"""A sign of life for someone outside: sent only while rules are evaluated and messages go out."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max

from alerts.models import AlertRule, Notification
from opsportal.lib import outbound

EVALUATED_WITHIN = timedelta(minutes=5)
SENT_WITHIN = timedelta(minutes=10)  # of having become due
client = outbound.Client("watchdog", timeout=10)


def ping(*, now: datetime) -> str:
    """Call settings.WATCHDOG_URL, unless evaluation or the outbox stands still: then its silence is the alarm."""
    if not settings.WATCHDOG_URL:
        return "off"
    standstill = what_stands_still(now)
    if standstill:
        return f"held back: {standstill}"
    try:
        response = client.request("GET", settings.WATCHDOG_URL)
    except outbound.OutboundError as error:
        return f"not reachable: {error}"
    return f"answered {response.status_code}"


def what_stands_still(now: datetime) -> str:
    """ "" while both make progress."""
    last = AlertRule.objects.enabled().aggregate(last=Max("last_evaluated_at"))["last"]
    if AlertRule.objects.enabled().exists() and (last is None or now - last > EVALUATED_WITHIN):
        return "no rule was evaluated lately"
    stuck = Notification.objects.due(now - SENT_WITHIN).filter(
        channel__is_enabled=True, channel__failing_since=None
    )
    return "messages are due and nobody sends them" if stuck.exists() else ""
