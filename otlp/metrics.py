"""Convert gauges and sums to signals. Histograms, summaries, and deltas of sums that can decrease are rejected.

A signal has a name but no attributes. Therefore, sums that differ only in their attributes are added up, and the
attributes of a gauge become part of its name.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
    NumberDataPoint,
)

from core.lib.scrub import scrub_text
from errors.event import json_codec
from otlp import wire
from otlp.traces import time_of

MAX_POINTS = 5_000  # Further data points of a request are rejected.
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


@dataclass(frozen=True, slots=True)
class Level:
    name: str
    value: float
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Total:
    """A running total since `started_ns`, in nanoseconds since the epoch. `stream` identifies its series of reports."""

    name: str
    stream: str
    started_ns: int
    value: float
    at: datetime | None


@dataclass(slots=True)
class Metrics:
    """The measurements in a request to export metrics."""

    gauges: dict[str, Level] = field(default_factory=dict)
    increments: list[Level] = field(default_factory=list)
    totals: dict[str, Total] = field(default_factory=dict)  # Maps a stream to its latest total.
    rejected_count: int = 0
    rejected_names: set[str] = field(default_factory=set)

    @property
    def point_count(self) -> int:
        return len(self.gauges) + len(self.increments) + len(self.totals)


def read(message: ExportMetricsServiceRequest) -> Metrics:
    found = Metrics()
    for resource, scope, metric in _metrics(message):
        kind = metric.WhichOneof("data")
        if kind == "gauge":
            _read_gauge(found, metric)
        elif kind == "sum":
            _read_sum(found, metric, f"{resource}\0{scope}")
        elif kind is not None:
            _reject(found, metric, len(getattr(metric, kind).data_points))
    return found


def _metrics(message: ExportMetricsServiceRequest) -> Iterator[tuple[str, str, Metric]]:
    for of_resource in message.resource_metrics:
        resource = _key(wire.attributes_of(of_resource.resource.attributes))
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                yield resource, of_scope.scope.name, metric


def _read_gauge(found: Metrics, metric: Metric) -> None:
    for point in metric.gauge.data_points:
        value = _value(point)
        if value is None or found.point_count >= MAX_POINTS:
            _reject(found, metric, 1)
            continue
        attributes = wire.attributes_of(point.attributes)
        pairs = ",".join(f"{name}={one}" for name, one in sorted(attributes.items()))
        name = _name(f"{metric.name}{{{pairs}}}" if pairs else metric.name)
        found.gauges[name] = Level(name, value, time_of(point.time_unix_nano))


def _read_sum(found: Metrics, metric: Metric, owner: str) -> None:
    is_delta = (
        metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    )
    name = _name(metric.name)
    for point in metric.sum.data_points:
        value, at = _value(point), time_of(point.time_unix_nano)
        is_monotonic = metric.sum.is_monotonic
        if (
            value is None
            or (is_monotonic and value < 0)
            or (is_delta and not is_monotonic)
            or found.point_count >= MAX_POINTS
        ):
            _reject(found, metric, 1)
        elif is_delta:
            found.increments.append(Level(name, value, at))
        elif is_monotonic:
            key = f"{owner}\0{metric.name}\0{_key(wire.attributes_of(point.attributes))}"
            stream = blake2b(key.encode("utf-8", "replace"), digest_size=16).hexdigest()
            started_ns = min(point.start_time_unix_nano, 2**63 - 1)
            found.totals[stream] = Total(name, stream, started_ns, value, at)
        else:  # A sum that can also decrease, such as the number of open requests, becomes a gauge.
            known = found.gauges.get(name)
            found.gauges[name] = Level(name, value + (known.value if known else 0), at)


def _reject(found: Metrics, metric: Metric, count: int) -> None:
    found.rejected_count += count
    if len(found.rejected_names) < 20:
        found.rejected_names.add(metric.name[:100])


def _value(point: NumberDataPoint) -> float | None:
    if point.flags & _NO_VALUE or point.WhichOneof("value") is None:
        return None
    value = float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)
    return value if math.isfinite(value) else None


def _name(name: str) -> str:
    return scrub_text(wire.clean(name).strip())[:200] or "(unnamed)"


def _key(attributes: Mapping[str, Any]) -> str:
    return json_codec.encode(
        sorted((name, str(value)) for name, value in attributes.items())
    ).decode()
