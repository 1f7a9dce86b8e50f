"""Read the numbers of SMS and e-mails that apps sent."""

from dataclasses import dataclass
from datetime import datetime

from health.models import SeriesKind
from health.queries.values import sum_values, sum_values_by_app
from health.signals import DELIVERY_OUTCOMES


@dataclass(frozen=True)
class DeliveryCounts:
    """The numbers of messages of one channel, by outcome."""

    sent: float = 0
    delivered: float = 0
    failed: float = 0
    bounced: float = 0

    @property
    def undelivered(self) -> float:
        return self.failed + self.bounced

    @property
    def total(self) -> float:
        """Return the number of attempts ("sent") or of outcomes, whichever is larger.

        Some apps report no attempts.
        """
        return max(self.sent, self.delivered + self.undelivered)

    @property
    def failure_percent(self) -> float | None:
        return 100 * self.undelivered / self.total if self.total else None


def series_name(channel: str, outcome: str) -> str:
    """Return the name of the series that counts messages of a channel with this outcome."""
    return f"{channel}.{outcome}"


def count_deliveries(channel: str, since: datetime, until: datetime) -> DeliveryCounts:
    """Count the messages of the channel over all apps, by outcome."""
    names = {outcome: series_name(channel, outcome) for outcome in DELIVERY_OUTCOMES}
    sums = sum_values(SeriesKind.DELIVERY, names.values(), since, until)
    return DeliveryCounts(**{outcome: sums[name] for outcome, name in names.items()})


def count_deliveries_by_app(
    channel: str, since: datetime, until: datetime
) -> dict[str, DeliveryCounts]:
    """Count the messages of the channel by outcome, for each app that reported any."""
    outcomes = {series_name(channel, outcome): outcome for outcome in DELIVERY_OUTCOMES}
    found: dict[str, dict[str, float]] = {}
    for app, name, total in sum_values_by_app(SeriesKind.DELIVERY, outcomes, since, until):
        totals = found.setdefault(app, {})
        totals[outcomes[name]] = totals.get(outcomes[name], 0.0) + total
    return {app: DeliveryCounts(**totals) for app, totals in found.items()}
