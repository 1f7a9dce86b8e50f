"""Register the retention periods of alerts and notifications."""

from collections.abc import Iterator

from alerts.services.cleanup import (
    ALERT_RETENTION,
    NOISY_READING_RETENTION,
    NOTIFICATION_RETENTION,
    READING_RETENTION,
)
from core.lib.retention import Kept, keeps


@keeps("alerts")
def kept() -> Iterator[Kept]:
    yield Kept("Resolved alerts", ALERT_RETENTION, note="Open alerts are kept.")
    yield Kept(
        "Notifications", NOTIFICATION_RETENTION, note="Notifications about open alerts are kept."
    )
    yield Kept("Values that alert rules read", READING_RETENTION)
    yield Kept("Values of rules that opened alerts", NOISY_READING_RETENTION)
