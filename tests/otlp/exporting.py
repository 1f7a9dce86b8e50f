"""Create OTLP messages in their JSON form, and run an exporter that sends them as JSON or protobuf."""

import base64
import gzip
import json
import time
from typing import Any

from django.http import HttpResponse
from django.test import Client
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
MESSAGES: dict[str, tuple[type[Message], type[Message]]] = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}
PROTOBUF = "application/x-protobuf"


class Exporter:
    """An exporter that sends messages with an app's key, and decodes the messages in responses."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client()
        self.headers = {"Authorization": f"Bearer {key}"}

    def post(self, signal: str, body: bytes, content_type: str, **headers: str) -> HttpResponse:
        sent = {**self.headers, **headers}
        url = f"/v1/{signal}"
        return self.client.post(url, body, content_type, headers=sent)  # type: ignore[return-value]

    def json(self, signal: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message as JSON, and return the message in the response."""
        answer = self.post(signal, json.dumps(message).encode(), "application/json")
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"] == "application/json"
        found: dict[str, Any] = json.loads(answer.content)
        return found

    def protobuf(self, signal: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message as compressed protobuf, and return the message in the response."""
        body = gzip.compress(to_protobuf(signal, message))
        answer = self.post(signal, body, PROTOBUF, **{"Content-Encoding": "gzip"})
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"] == PROTOBUF
        received = MESSAGES[signal][1]()
        received.ParseFromString(answer.content)
        found: dict[str, Any] = json_format.MessageToDict(received)
        return found


def status_of(answer: HttpResponse) -> Status:
    """Decode the Status message in the response to a refused request."""
    found = Status()
    if answer["Content-Type"] == PROTOBUF:
        found.ParseFromString(answer.content)
    else:
        json_format.Parse(answer.content, found)
    return found


def to_protobuf(signal: str, message: dict[str, Any]) -> bytes:
    """Encode a message as protobuf, in which ids are bytes."""

    def with_bytes(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: base64.b64encode(bytes.fromhex(one)).decode()
                if name in ("traceId", "spanId", "parentSpanId")
                else with_bytes(one)
                for name, one in value.items()
            }
        return [with_bytes(one) for one in value] if isinstance(value, list) else value

    found = json_format.ParseDict(with_bytes(message), MESSAGES[signal][0]())
    return bytes(found.SerializeToString())


def now_ns() -> int:
    return time.time_ns()


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(one) for one in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": value}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": any_value(value)} for name, value in values.items()]


RESOURCE = {
    "service.name": "checkout",
    "service.version": "2.1.0",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.version": "1.45.1",
    "process.command_args": ["python", "app.py"],
}


def _of(
    kind: str, scoped: str, items: list[Any], resource: dict[str, Any] | None
) -> dict[str, Any]:
    listed = attributes(RESOURCE if resource is None else resource)
    scopes = [{"scope": {"name": "shop.pay"}, scoped: items}]
    name = f"scope{kind.removeprefix('resource')}"
    return {kind: [{"resource": {"attributes": listed}, name: scopes}]}


def spans(*items: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return _of("resourceSpans", "spans", list(items), resource)


def logs(*items: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return _of("resourceLogs", "logRecords", list(items), resource)


def metrics(*items: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return _of("resourceMetrics", "metrics", list(items), resource)


def span(name: str = "POST /pay/{id}", **more: Any) -> dict[str, Any]:
    """Return a server span that took 250 ms and ends now."""
    end = now_ns()
    named = more.pop(
        "attributes", {"http.request.method": "POST", "http.response.status_code": 200}
    )
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(end - 250_000_000),
        "endTimeUnixNano": str(end),
        "attributes": attributes(named),
        **more,
    }


PYTHON_STACK = """Traceback (most recent call last):
  File "/app/venv/lib/python3.11/site-packages/flask/app.py", line 1473, in wsgi_app
    response = self.full_dispatch_request()
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/shop/pay.py", line 12, in charge
    raise CardDeclined("card of order o-77 was declined")
shop.errors.CardDeclined: card of order o-77 was declined
"""


def exception(
    kind: str = "shop.errors.CardDeclined",
    message: str = "card of order o-77 was declined",
    stack: str = PYTHON_STACK,
    **more: Any,
) -> dict[str, Any]:
    """Return an event of a span that describes an exception."""
    named = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
    return {
        "name": "exception",
        "timeUnixNano": str(now_ns()),
        "attributes": attributes({**named, **more}),
    }


def record(body: Any = "card declined", **more: Any) -> dict[str, Any]:
    """Return a log record of severity WARN."""
    named = more.pop("attributes", {"order_id": "o-77"})
    return {
        "timeUnixNano": str(now_ns()),
        "severityNumber": 13,
        "severityText": "WARN",
        "body": any_value(body),
        "traceId": TRACE,
        "spanId": SPAN,
        "attributes": attributes(named),
        **more,
    }


def gauge(name: str, *points: Any) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": list(points)}}


def total(
    name: str, *points: Any, is_monotonic: bool = True, temporality: int = 2
) -> dict[str, Any]:
    """Return a sum metric whose values are totals since the start (`temporality` 2) or increases (1)."""
    listed = {"dataPoints": list(points), "isMonotonic": is_monotonic}
    return {"name": name, "sum": {**listed, "aggregationTemporality": temporality}}


def point(value: float, *, started_ns: int = 0, **named: Any) -> dict[str, Any]:
    kind = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    start = {"startTimeUnixNano": str(started_ns)} if started_ns else {}
    return {"timeUnixNano": str(now_ns()), "attributes": attributes(named), **start, **kind}
