"""Describe the JSON form of the OTLP endpoints in OpenAPI. The protobuf form has the same fields."""

from typing import Annotated, Any

import msgspec

from core.lib.openapi import describe

_Items = list[dict[str, Any]]


class OtlpTraces(msgspec.Struct, omit_defaults=True):
    """A request to export traces (ExportTraceServiceRequest)."""

    resourceSpans: _Items = []


class OtlpLogs(msgspec.Struct, omit_defaults=True):
    """A request to export logs (ExportLogsServiceRequest)."""

    resourceLogs: _Items = []


class OtlpMetrics(msgspec.Struct, omit_defaults=True):
    """A request to export metrics (ExportMetricsServiceRequest)."""

    resourceMetrics: _Items = []


class OtlpPartialSuccess(msgspec.Struct, omit_defaults=True):
    """The number of rejected entries and the reason. The numbers are strings, as in protobuf's JSON form of int64."""

    rejectedSpans: str = ""
    rejectedLogRecords: str = ""
    rejectedDataPoints: str = ""
    errorMessage: str = ""


class OtlpAccepted(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The response to an accepted request. `partialSuccess` is present if a part was rejected."""

    partialSuccess: OtlpPartialSuccess | msgspec.UnsetType = msgspec.UNSET


class OtlpStatus(msgspec.Struct, forbid_unknown_fields=True):
    """A refusal, as a `google.rpc.Status`."""

    code: Annotated[int, msgspec.Meta(ge=1, le=16)]
    message: str


_ENDPOINTS: dict[str, tuple[str, str, Any]] = {
    "traces": (
        "Receive spans with OTLP. Exceptions become errors, and requests become measurements.",
        "ingest",
        OtlpTraces,
    ),
    "logs": ("Receive log records with OTLP.", "ingest", OtlpLogs),
    "metrics": (
        "Receive metrics with OTLP. Gauges and sums become signals.",
        "metrics",
        OtlpMetrics,
    ),
}
for _name, (_summary, _scope, _takes) in _ENDPOINTS.items():
    describe(
        f"otlp:{_name}",
        "POST",
        _summary,
        scope=_scope,
        takes=_takes,
        answers={200: OtlpAccepted},
        refusals={
            400: "The body is not a valid message.",
            413: "The body is larger than 5 MiB, or larger than 8 MiB after decompression.",
            415: "The content type is neither `application/x-protobuf` nor `application/json`, or the "
            "Content-Encoding is not supported.",
            429: "A quota is used up.",
            503: "The database is unavailable; repeat the request.",
        },
        refusal_shape=OtlpStatus,
        is_frequent=True,
    )
    describe(f"otlp:{_name}", "OPTIONS", "CORS preflight request.", answers={200: None})
