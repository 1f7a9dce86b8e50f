"""Convert cumulative totals to increases since the previous report, because counters record increases."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core.lib.upsert import upsert
from errors.ingest.authentication import Project
from health.signals import Counter
from otlp.models import CumulativeSum

if TYPE_CHECKING:  # Workers import this module to prune sums, and should not load protobuf.
    from otlp.metrics import Total

MAX_STREAMS_PER_APP = 10_000
_NAMES_PER_QUERY = 400
# A total that is reported for the first time is used only if it started within this period. An older total mostly
# consists of amounts that were counted already, or that precede the app's reports to the portal.
_NEW_TOTAL = timedelta(hours=1)
SUM_RETENTION = timedelta(days=7)


def increases(totals: Sequence["Total"], *, project: Project, now: datetime) -> list[Counter]:
    """Return the increases of the totals since they were last reported, and store the new values.

    Requires a transaction, which locks the stored sums. New streams beyond MAX_STREAMS_PER_APP are ignored.
    """
    known: dict[str, CumulativeSum] = {}
    streams = sorted(total.stream for total in totals)
    for start in range(0, len(streams), _NAMES_PER_QUERY):
        some = streams[start : start + _NAMES_PER_QUERY]
        rows = CumulativeSum.objects.select_for_update().filter(app=project.app, stream__in=some)
        known |= {row.stream: row for row in rows.order_by("stream")}
    room = MAX_STREAMS_PER_APP
    if len(known) < len(totals):
        room -= CumulativeSum.objects.filter(app=project.app).count()
    found, rows_to_write = [], []
    for total in sorted(totals, key=lambda total: total.stream):
        before = known.get(total.stream)
        if before is None:
            if room <= 0:
                continue
            room -= 1
        increase = _increase(total, before, now)
        if increase:
            found.append(Counter(total.name, increase, total.at))
        rows_to_write.append(
            {
                "app": project.app_id,
                "stream": total.stream,
                "started_ns": total.started_ns,
                "value": total.value,
                "updated_at": now,
            }
        )
    upsert(
        CumulativeSum,
        rows_to_write,
        key=("app", "stream"),
        replace=("started_ns", "value", "updated_at"),
    )
    return found


def _increase(total: "Total", before: CumulativeSum | None, now: datetime) -> float:
    if before is None:
        started_at = total.started_ns / 1e9
        return total.value if started_at >= (now - _NEW_TOTAL).timestamp() else 0.0
    if before.started_ns == total.started_ns and total.value >= before.value:
        return total.value - before.value
    # The app was restarted or its total was reset, unless `total` started earlier than `before`. Such a report is
    # a late retry and is ignored.
    return total.value if total.started_ns >= before.started_ns else 0.0


def prune(*, now: datetime) -> int:
    """Delete sums that have not been reported for SUM_RETENTION, and return the number deleted."""
    return CumulativeSum.objects.filter(updated_at__lt=now - SUM_RETENTION).delete()[0]
