"""Find the events of a trace. Events have no column for the trace, because its index would slow down ingestion."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.lib.app_access import limit
from errors.models import ErrorEvent
from errors.store import payloads

MAX_SCANNED_EVENTS = 1_000


def trace_id_of(payload: Mapping[str, Any]) -> str:
    """Return the id of the trace in which the event occurred, without dashes, or "" if there is none."""
    contexts = payload.get("contexts")
    trace = contexts.get("trace") if isinstance(contexts, Mapping) else None
    found = trace.get("trace_id") if isinstance(trace, Mapping) else None
    return found.replace("-", "").lower() if isinstance(found, str) else ""


def events_of_trace(trace_id: str, *, since: datetime, until: datetime) -> list[ErrorEvent]:
    """Return the events of the trace that were received in this time range, oldest first.

    Only the newest MAX_SCANNED_EVENTS events in the range are read.
    """
    received = ErrorEvent.objects.received_between(since, until).newest_first()
    ids = list(received.values_list("pk", flat=True)[:MAX_SCANNED_EVENTS])
    found = [
        pk
        for pk, payload in payloads.payloads_with(trace_id, ids)
        if trace_id_of(payload) == trace_id
    ]
    # select_related would omit events whose app or group has been deleted.
    return list(limit(ErrorEvent.objects.filter(pk__in=found)).order_by("pk"))
