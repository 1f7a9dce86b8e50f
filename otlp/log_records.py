"""Convert OpenTelemetry log records to the portal's log records, and extract the exceptions that they report."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from errors.event import json_codec
from logs.models import Level
from logs.records import Record, level_of
from otlp import wire
from otlp.events import Caught, is_exception
from otlp.resources import Resource
from otlp.traces import time_of

MAX_RECORDS = 10_000  # Further records of a request are rejected.
_STACK_TRACE = "exception.stacktrace"


@dataclass(slots=True)
class Logs:
    """The log records and exceptions in a request to export logs."""

    records: list[Record] = field(default_factory=list)
    exceptions: list[Caught] = field(default_factory=list)
    # For each exception, the index of the record that reported it.
    indexes: list[int] = field(default_factory=list)
    empty_count: int = 0  # Counts records without text.
    excess_count: int = 0  # Counts records beyond MAX_RECORDS.

    def drop_stack_traces(self, exceptions: Iterable[int]) -> None:
        """Remove the stack traces from the records of the exceptions with these indexes. Their events have them."""
        for number in exceptions:
            index = self.indexes[number]
            record = self.records[index]
            kept = {name: one for name, one in record.attributes.items() if name != _STACK_TRACE}
            self.records[index] = replace(record, attributes=kept)


def read(message: ExportLogsServiceRequest) -> Logs:
    found = Logs()
    for resource, scope, record in _records(message):
        if len(found.records) >= MAX_RECORDS:
            found.excess_count += 1
            continue
        attributes = wire.attributes_of(record.attributes)
        body = _text(wire.value_of(record.body)) or wire.clean(record.event_name)
        if not body.strip():
            body = str(
                attributes.get("exception.message") or attributes.get("exception.type") or ""
            )
        if not body.strip():
            found.empty_count += 1
            continue
        level = level_of(
            "" if record.severity_number else record.severity_text, record.severity_number
        )
        at_ns = record.time_unix_nano or record.observed_time_unix_nano
        trace_id, span_id = wire.id_of(record.trace_id), wire.id_of(record.span_id)
        if is_exception(attributes) and level in (Level.ERROR, Level.FATAL):
            found.indexes.append(len(found.records))
            found.exceptions.append(
                Caught(
                    exception=attributes,
                    resource=resource,
                    at_ns=at_ns,
                    level="fatal" if level is Level.FATAL else "error",
                    attributes={**attributes, "log": body},
                    trace_id=trace_id,
                    span_id=span_id,
                    logger=scope,
                )
            )
        shown = dict(attributes)
        if scope:
            shown.setdefault("logger", scope)
        found.records.append(
            Record(
                level=level,
                body=body,
                at=time_of(at_ns),
                attributes={**resource.kept, **shown},
                trace_id=trace_id,
                span_id=span_id,
                environment=resource.environment,
                release=resource.release,
            )
        )
    return found


def _records(message: ExportLogsServiceRequest) -> Iterator[tuple[Resource, str, LogRecord]]:
    for of_resource in message.resource_logs:
        resource = Resource(wire.attributes_of(of_resource.resource.attributes))
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield resource, wire.clean(of_scope.scope.name), record


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json_codec.encode(value).decode()
