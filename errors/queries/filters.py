"""Read an app's inbound filters, and count the errors that they dropped or would have dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db.models import Sum

from core.clients.models import ClientApp
from errors.event.filters import Filter, Filters, compile_filters
from errors.models import Discarded, ErrorEvent, InboundFilter
from errors.store import payloads

COUNTED_DAYS = 14
PREVIEW_DAYS = 7
MAX_PREVIEWED = 4_000
# A preview reads at most this many events of all apps, because there is no index by app.
MAX_SCANNED = 200_000
MAX_EXAMPLES = 5


def filters_of(app: ClientApp) -> Filters:
    """Return the compiled filters that are enabled for the app."""
    return compile_filters(
        InboundFilter.objects.filter(app=app).order_by("pk").values_list("kind", "patterns")
    )


@dataclass(frozen=True)
class DroppedCounts:
    """The number of errors that a filter dropped, by day, oldest first."""

    days: list[tuple[date, int]]

    @property
    def total(self) -> int:
        return sum(count for _, count in self.days)


def dropped_counts(app: ClientApp, *, now: datetime) -> dict[str, DroppedCounts]:
    """Return the counts of the last COUNTED_DAYS days by filter, including filters that are disabled now."""
    today = now.date()
    days = [today - timedelta(days=ago) for ago in reversed(range(COUNTED_DAYS))]
    sums = (
        Discarded.objects.filter(
            app=app, source=Discarded.Source.FILTER, date__gte=days[0], date__lte=today
        )
        .order_by()
        .values_list("reason", "date")
        .annotate(sum=Sum("count"))
    )
    found: dict[str, dict[date, int]] = {kind.value: {} for kind in Filter}
    for reason, day, count in sums:
        found.setdefault(reason, {})[day] = count
    return {
        reason: DroppedCounts([(day, by_day.get(day, 0)) for day in days])
        for reason, by_day in found.items()
    }


@dataclass
class Preview:
    """The number of stored events that a filter would have dropped, and some of these events."""

    event_count: int = 0
    dropped_count: int = 0
    examples: list[ErrorEvent] = field(default_factory=list)


def preview(app: ClientApp, kind: Filter, patterns: Sequence[str], *, now: datetime) -> Preview:
    """Apply a filter to at most MAX_PREVIEWED of the app's newest events from the last PREVIEW_DAYS days.

    Only the newest MAX_SCANNED events of all apps are searched for them.
    """
    one = compile_filters([(kind.value, patterns)])
    recent = ErrorEvent.objects.received_between(now - timedelta(days=PREVIEW_DAYS), now)
    first = (
        recent.newest_first().values_list("pk", flat=True)[MAX_SCANNED : MAX_SCANNED + 1].first()
    )
    if first is not None:
        recent = recent.filter(pk__gt=first)
    of_app = recent.filter(app=app).newest_first()
    ids = list(of_app.values_list("pk", flat=True)[:MAX_PREVIEWED])
    dropped = []
    for start in range(0, len(ids), 500):
        chunk = ids[start : start + 500]
        dropped += [pk for pk, event in payloads.all_payloads(chunk) if one.matching(event)]
    shown = sorted(dropped, reverse=True)[:MAX_EXAMPLES]
    examples = ErrorEvent.objects.filter(pk__in=shown).select_related("group").newest_first()
    return Preview(len(ids), len(dropped), list(examples))
