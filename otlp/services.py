"""Store the content of OpenTelemetry requests, and return how many parts were rejected and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from core.lib import ratelimit
from errors.event.build import IngestContext, build_event
from errors.event.new_event import NewEvent
from errors.exceptions import Filtered, OverQuota, Refused
from errors.ingest.authentication import Project
from errors.ingest.request import count_against_quotas
from errors.models import Discarded
from errors.services import discarded
from errors.store.commit import store_events
from health.services import record_measurements
from health.signals import Counter, Gauge
from logs import services as logs
from otlp.events import Caught, to_event
from otlp.log_records import Logs
from otlp.metrics import Metrics
from otlp.sums import increases
from otlp.traces import Traces

MAX_EXCEPTIONS = 1_000  # Further exceptions of a request are rejected.


@dataclass(frozen=True, slots=True)
class Rejected:
    """The number of rejected parts of a request, and the reason. Other parts may still be counted as discarded."""

    count: int = 0
    reason: str = ""

    def __add__(self, other: "Rejected") -> "Rejected":
        reasons = (reason for reason in (self.reason, other.reason) if reason)
        return Rejected(self.count + other.count, "; ".join(reasons))


def store_traces(traces: Traces, *, project: Project, now: datetime) -> Rejected:
    """Store the exceptions, measurements and requests of spans.

    Exceptions over the app's quota are rejected. Requests over the quota for logs are counted as discarded, but their
    measurements are stored.
    """
    rejected, _ = _store_exceptions(traces.exceptions, project=project, now=now)
    requests = traces.requests
    if requests:
        try:
            logs.check_quota(project, len(requests))
        except OverQuota:
            requests = []
    with transaction.atomic():
        record_measurements(traces.measurements, app=project.app, now=now)
        logs.record_logs(requests, project=project, now=now)
    return rejected


def store_logs(found: Logs, *, project: Project, now: datetime) -> Rejected:
    """Store log records and the exceptions in them. Stack traces are stored with the events, or else with the records.

    Raises OverQuota, without storing anything, if the records exceed the app's quota for logs.
    """
    if found.records:
        logs.check_quota(project, len(found.records))
    rejected, stored = _store_exceptions(found.exceptions, project=project, now=now)
    found.drop_stack_traces(stored)
    logs.record_logs(found.records, project=project, now=now)
    if found.empty_count:
        logs.count_invalid(project, "no text", found.empty_count)
        rejected += Rejected(found.empty_count, "log records without a body are not stored")
    if found.excess_count:
        logs.count_invalid(project, "too many at once", found.excess_count)
        reason = "too many log records at once; send them in several requests"
        rejected += Rejected(found.excess_count, reason)
    return rejected


def _store_exceptions(
    caught: Sequence[Caught], *, project: Project, now: datetime
) -> tuple[Rejected, list[int]]:
    """Store exceptions as events. An exception that several spans of one trace report becomes a single event.

    Returns the rejected exceptions, and the indexes of the exceptions whose events are stored.
    """
    converted = [to_event(one, project.app_id) for one in caught]
    events = {event["event_id"]: event for event in converted}
    chosen = list(events.values())[:MAX_EXCEPTIONS]
    if not chosen:
        return Rejected(), []
    built = {
        event["event_id"]: new
        for event in chosen
        if (new := _build(event, project=project, now=now))
    }
    try:
        if built:
            count_against_quotas(project, len(built))
    except Refused:
        return Rejected(len(built), "the app's quota for errors is used up"), []
    store_events(list(built.values()))
    stored = [number for number, event in enumerate(converted) if event["event_id"] in built]
    if excess := len(events) - len(chosen):
        discarded.count(
            project.app_id, Discarded.Source.INVALID, "error", "too many at once", excess
        )
        reason = "too many exceptions at once; send them in several requests"
        return Rejected(excess, reason), stored
    return Rejected(), stored


def _build(event: dict[str, Any], *, project: Project, now: datetime) -> NewEvent | None:
    """Return the event to store. If an inbound filter of the app drops it, count it as discarded and return None."""
    context = IngestContext(received_at=now, filters=project.filters)
    try:
        return build_event(event, app_id=project.app_id, scrubber=project.scrubber, context=context)
    except Filtered as filtered:
        source = Discarded.Source.FILTER
        discarded.count(project.app_id, source, "error", filtered.filter_name)
        return None


def store_metrics(metrics: Metrics, *, project: Project, now: datetime) -> Rejected:
    """Record gauges and sums as signals.

    Raises OverQuota, without recording anything, if they exceed the app's quota for signals.
    """
    if metrics.point_count:
        limit = settings.SIGNALS_PER_MINUTE
        # `POST /api/v1/signals/` uses the same key, so both share one quota.
        verdict = ratelimit.acquire(
            f"signals:{project.app_id}", limit, 60, cost=metrics.point_count
        )
        if not verdict.allowed:
            raise OverQuota("signals per minute", max(1, int(verdict.retry_after + 0.999)))
    gauges = [Gauge(one.name, one.value, one.at) for one in metrics.gauges.values()]
    counters = [Counter(one.name, one.value, one.at) for one in metrics.increments]
    with transaction.atomic():
        counters += increases(list(metrics.totals.values()), project=project, now=now)
        record_measurements([*gauges, *counters], app=project.app, now=now)
    if not metrics.rejected_count:
        return Rejected()
    source = Discarded.Source.PORTAL
    discarded.count(project.app_id, source, "metric", "unsupported", metrics.rejected_count)
    names = ", ".join(sorted(metrics.rejected_names))
    return Rejected(
        metrics.rejected_count,
        f"only gauges and sums are stored; these metrics are not: {names}"[:1_000],
    )
