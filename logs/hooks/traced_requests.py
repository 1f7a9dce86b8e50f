"""Create log entries for the requests that Sentry SDKs measure, so that pages show them among the logs of a trace.

The requests are buffered and written once a second, so a killed process loses up to one second of requests.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection
from django.utils import timezone

from core.lib.buffer import Buffer, OnFailure
from errors.exceptions import OverQuota
from errors.extension_points import TracedRequest, traced_request
from errors.ingest.authentication import Project
from errors.models import Discarded
from errors.services import discarded
from logs import services
from logs.records import Record, request_record

_OfApp = tuple[Project, tuple[Record, ...]]


@traced_request("logs")
def requests_of_traces(project: Project, requests: Sequence[TracedRequest], now: datetime) -> None:
    """Buffer requests to store as log entries, or count them as discarded if the app's quota for logs is used up.

    If a transaction is open, the requests are stored immediately instead of being buffered.
    """
    records = tuple(
        request_record(
            name=one.name,
            status_code=one.status_code,
            duration_ms=one.duration_ms,
            is_ok=one.is_ok,
            at=one.started_at,
            attributes=one.attributes,
            trace_id=one.trace_id,
            span_id=one.span_id,
            environment=one.environment,
            release=one.release,
        )
        for one in requests
    )
    try:
        services.check_quota(project, len(records))
    except OverQuota:
        return
    if connection.in_atomic_block:
        services.record_logs(records, project=project, now=now)
    elif not requests_waiting.add(project.app_id, (project, records)):
        source = Discarded.Source.PORTAL
        discarded.count(project.app_id, source, services.CATEGORY, "too many", len(records))


def _write(waiting: dict[int, _OfApp]) -> None:
    for project, records in waiting.values():
        services.record_logs(records, project=project, now=timezone.now())


requests_waiting = Buffer[int, _OfApp](
    "logs: requests",
    seconds=1,
    write=_write,
    merge=lambda known, new: (new[0], known[1] + new[1]),
    count_of=lambda of_app: len(of_app[1]),
    max_keys=10_000,
    max_count=20_000,
    flush_at=500,
    on_failure=OnFailure.DROP,  # A retry could write the requests of some apps twice.
)
