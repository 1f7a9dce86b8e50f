from collections import Counter
from datetime import datetime

from alerts.instant_checks import instant_check
from health import services

PAUSE_SECONDS = 0.5  # somebody waits for the answer


@instant_check("health checks")
def health_checks(now: datetime) -> str:
    found = Counter(services.run_checks(now=now, pause=PAUSE_SECONDS).values())
    return ", ".join(f"{count} {status}" for status, count in found.most_common()) or "none"
