"""Call an external watchdog regularly while the portal evaluates rules and delivers messages.

If the calls stop, the watchdog alerts people.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max

from alerts.models import AlertRule
from alerts.queries import list_backlogs
from core.lib import outbound

MAX_EVALUATION_AGE = timedelta(minutes=5)
MAX_DELIVERY_DELAY = timedelta(minutes=10)


def ping(*, now: datetime) -> str:
    """Call settings.WATCHDOG_URL unless evaluation or delivery has stopped, and return the result in words."""
    if not settings.WATCHDOG_URL:
        return "off"
    stall = find_stall(now)
    if stall:
        return f"not sent, because {stall}"
    try:
        response = outbound.Client("watchdog", timeout=10).request("GET", settings.WATCHDOG_URL)
    except outbound.OutboundError as error:
        return f"unreachable: {error}"
    return f"answered {response.status_code}"


def find_stall(now: datetime) -> str:
    """Return a reason such as "notifications are overdue" if evaluation or delivery has stopped, and "" otherwise."""
    last = AlertRule.objects.enabled().aggregate(last=Max("last_evaluated_at"))["last"]
    if AlertRule.objects.enabled().exists() and (last is None or now - last > MAX_EVALUATION_AGE):
        return "no rule was evaluated recently"
    limit = MAX_DELIVERY_DELAY.total_seconds()
    is_stuck = any(
        backlog.is_working and backlog.oldest_seconds > limit for backlog in list_backlogs(now=now)
    )
    return "notifications are overdue" if is_stuck else ""
