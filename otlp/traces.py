"""Read spans: extract the exceptions in them, and convert requests and jobs to measurements and log records."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from core.lib.scrub import scrub_text
from health.signals import Performance
from logs.records import Record, request_record
from otlp import wire
from otlp.events import Caught, is_exception
from otlp.resources import Resource, first_text

_MAX_DURATION_MS = 86_400_000.0
# Only these attributes of a span are copied to the log entry of its request.
_SHOWN = (
    "http.request.method", "http.method", "http.route", "http.response.status_code", "http.status_code", "url.path",
    "rpc.method", "rpc.service", "messaging.destination.name", "error.type",
)  # fmt: skip


@dataclass(slots=True)
class Traces:
    """The exceptions, measurements and traced requests in a request to export spans."""

    exceptions: list[Caught] = field(default_factory=list)
    measurements: list[Performance] = field(default_factory=list)
    requests: list[Record] = field(default_factory=list)


def read(message: ExportTraceServiceRequest) -> Traces:
    found = Traces()
    for resource, span in _spans(message):
        name = wire.clean(span.name) or "(unnamed)"
        attributes: dict[str, Any] | None = None
        for event in span.events:
            if event.name != "exception":
                continue
            exception = wire.attributes_of(event.attributes)
            if not is_exception(exception):
                continue
            if attributes is None:
                attributes = wire.attributes_of(span.attributes)
            found.exceptions.append(
                Caught(
                    exception=exception,
                    resource=resource,
                    at_ns=event.time_unix_nano,
                    attributes=attributes,
                    trace_id=wire.id_of(span.trace_id),
                    span_id=wire.id_of(span.span_id),
                    parent_span_id=wire.id_of(span.parent_span_id),
                    transaction=name,
                )
            )
        if span.kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER):
            found.measurements.append(_measurement(resource, span, name))
            found.requests.append(
                _request(resource, span, name, attributes or wire.attributes_of(span.attributes))
            )
    return found


def _spans(message: ExportTraceServiceRequest) -> Iterator[tuple[Resource, Span]]:
    for of_resource in message.resource_spans:
        resource = Resource(wire.attributes_of(of_resource.resource.attributes))
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield resource, span


def _duration_ms(span: Span) -> float:
    elapsed_ns = span.end_time_unix_nano - span.start_time_unix_nano
    return min(max(elapsed_ns / 1e6, 0.0), _MAX_DURATION_MS)


def _is_ok(span: Span) -> bool:
    return bool(span.status.code != SpanStatus.STATUS_CODE_ERROR)


def _measurement(resource: Resource, span: Span, name: str) -> Performance:
    is_server = span.kind == Span.SPAN_KIND_SERVER
    return Performance(
        name=scrub_text(name)[:200],
        duration_ms=_duration_ms(span),
        kind="request" if is_server else "function",
        ok=_is_ok(span),
        at=time_of(span.end_time_unix_nano),
        environment=scrub_text(resource.environment)[:64],
    )


def _request(resource: Resource, span: Span, name: str, attributes: dict[str, Any]) -> Record:
    """Convert the span of a request or job to a log record, so that pages show it among the logs of its trace."""
    status = first_text(attributes, "http.response.status_code", "http.status_code")
    shown = {one: attributes[one] for one in _SHOWN if one in attributes}
    return request_record(
        name=name,
        status_code=status,
        duration_ms=_duration_ms(span),
        is_ok=_is_ok(span),
        at=time_of(span.start_time_unix_nano),
        attributes={**resource.kept, **shown},
        trace_id=wire.id_of(span.trace_id),
        span_id=wire.id_of(span.span_id),
        environment=resource.environment,
        release=resource.release,
    )


def time_of(nanoseconds: int) -> datetime | None:
    """Convert nanoseconds since the epoch to a datetime, or return None for 0 and for times that do not fit."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC) if nanoseconds else None
    except (ValueError, OverflowError, OSError):
        return None
