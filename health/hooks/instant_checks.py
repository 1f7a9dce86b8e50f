"""Run the health checks when a user presses the button on the alerts page."""

from collections import Counter
from datetime import datetime

from alerts.extension_points import instant_check
from health import services

# A failed check is repeated after a shorter pause than usual, because a user is waiting for the response.
PAUSE_SECONDS = 0.5


@instant_check("health checks")
def health_checks(now: datetime) -> str:
    counts = Counter(services.run_checks(now=now, pause=PAUSE_SECONDS).values())
    return ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "none"
