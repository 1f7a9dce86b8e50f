"""Alert when ticket counters do not match the reservations."""

from datetime import datetime

from alerts import services as alerts
from alerts.extension_points import Severity
from reservations.queries.drift import DRIFT_ALERT_KEY, Drift, find_drift


def check_integrity(*, now: datetime) -> list[Drift]:
    """Keep an alert open while counters are wrong, and return the wrong counters.

    Counters are never corrected automatically, because only a bug or a manual change can make them wrong.
    """
    drift = find_drift()
    if drift:
        alerts.report_problem(
            key=DRIFT_ALERT_KEY,
            alert_type="inventory-drift",
            title=f"Wrong ticket counters: {len(drift)} ticket types",
            message="; ".join(str(found) for found in drift),
            severity=Severity.CRITICAL,
            source="reservations",
            now=now,
        )
    else:
        alerts.clear_problem(key=DRIFT_ALERT_KEY, now=now)
    return drift
