"""Convert OpenTelemetry exceptions to events in the format of Sentry SDKs, which the app `errors` can process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from otlp.resources import Resource, first_text
from otlp.stack_traces import parse

_PREFIX = "exception."


@dataclass(frozen=True, slots=True)
class Caught:
    """An exception, with the data of the span or log record that reported it."""

    # Contains exception.type, .message, .stacktrace and .escaped.
    exception: Mapping[str, Any]
    resource: Resource
    at_ns: int
    level: str = "error"
    # Attributes of the span or log record.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    transaction: str = ""
    logger: str = ""


def is_exception(attributes: Mapping[str, Any]) -> bool:
    return bool(attributes.get("exception.type") or attributes.get("exception.message"))


def to_event(caught: Caught, app_id: int) -> dict[str, Any]:
    """Convert an exception to an event. Reports of one type and message in one trace get the same event id.

    The store ignores events with a known id. Duplicates are common, because instrumentations report an exception on
    every span that it passes through and again in the log, and because exporters retry requests.
    """
    kind = first_text(caught.exception, "exception.type")
    value = first_text(caught.exception, "exception.message")
    chain = parse(first_text(caught.exception, "exception.stacktrace"), type=kind, value=value)
    escaped = caught.exception.get("exception.escaped")
    is_handled = str(escaped).lower() != "true" if escaped is not None else None
    chain[-1]["mechanism"] = {"type": "opentelemetry"} | (
        {} if is_handled is None else {"handled": is_handled}
    )
    attributes, resource = caught.attributes, caught.resource
    user = first_text(attributes, "enduser.id", "user.id")
    trace = {
        "trace_id": caught.trace_id,
        "span_id": caught.span_id,
        "parent_span_id": caught.parent_span_id,
    }
    return {
        "event_id": _event_id(caught, app_id, kind, value),
        "timestamp": caught.at_ns / 1e9 or None,
        "platform": resource.platform,
        "level": caught.level,
        "logger": caught.logger or None,
        "exception": {"values": chain},
        "release": resource.release or None,
        "environment": resource.environment or None,
        "server_name": resource.text("host.name") or None,
        "transaction": caught.transaction or None,
        "user": {"id": user} if user else None,
        "request": _request(attributes),
        "tags": {
            name: value
            for name in ("service.name", "service.namespace")
            if (value := resource.text(name))
        },
        "contexts": {"trace": {name: value for name, value in trace.items() if value}},
        "extra": {
            name: value for name, value in attributes.items() if not name.startswith(_PREFIX)
        },
        "sdk": {
            "name": f"opentelemetry.{resource.text('telemetry.sdk.language') or 'unknown'}",
            "version": resource.text("telemetry.sdk.version"),
        },
    }


def _event_id(caught: Caught, app_id: int, kind: str, value: str) -> str:
    place = (
        caught.trace_id or f"{caught.at_ns} {first_text(caught.exception, 'exception.stacktrace')}"
    )
    parts = "\0".join((str(app_id), place, kind, value))
    return blake2b(parts.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _request(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the HTTP request that a span's attributes describe, or None if they describe none.

    Both the current and the previous attribute names of OpenTelemetry are supported.
    """
    method = first_text(attributes, "http.request.method", "http.method")
    url = first_text(attributes, "url.full", "http.url")
    path = first_text(attributes, "url.path", "http.target")
    if not url and path:
        scheme = first_text(attributes, "url.scheme", "http.scheme") or "http"
        host = first_text(attributes, "server.address", "http.host", "net.host.name")
        url = f"{scheme}://{host}{path}" if host else path
    query = first_text(attributes, "url.query")
    if not method and not url:
        return None
    found = {"method": method, "url": url, "query_string": query}
    return {name: value for name, value in found.items() if value}
