"""Run the health checks when a user requests them on the alerts page."""

from collections import Counter
from datetime import datetime

from alerts.extension_points import instant_check
from health import services

# The usual pause before a failed check is repeated would be too long for the waiting user.
PAUSE_SECONDS = 0.5


@instant_check("health checks")
def health_checks(now: datetime) -> str:
    counts = Counter(services.run_checks(now=now, pause=PAUSE_SECONDS).values())
    return ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "none"
