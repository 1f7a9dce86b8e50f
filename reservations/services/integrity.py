"""The counters against the reservations they count."""

from datetime import datetime

from alerts import services as alerts
from alerts.rules import Severity
from reservations.queries.drift import Drift, find_drift

ALERT_KEY = "reservations.drift"


def check_integrity(*, now: datetime) -> list[Drift]:
    """The drift found. It is a fault of ours and never mended silently: staff hear of it, until it is gone."""
    drift = find_drift()
    if drift:
        alerts.report_problem(
            key=ALERT_KEY,
            alert_type="inventory-drift",
            title=f"Ticket counters of {len(drift)} types are wrong",
            message="; ".join(str(found) for found in drift),
            severity=Severity.CRITICAL,
            source="reservations",
            now=now,
        )
    else:
        alerts.clear_problem(key=ALERT_KEY, now=now)
    return drift
