"""Handle the OTLP endpoints `POST /v1/traces`, `/v1/logs` and `/v1/metrics`.

Responses follow https://opentelemetry.io/docs/specs/otlp/#otlphttp-response: they have the content type of the request
(JSON if it was refused before this type was read), report rejected parts as a partial success, and contain a
`google.rpc.Status` in case of a refusal. Exporters retry a request after 429 and 503.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from google.protobuf.message import Message
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

from core.clients.auth import NotAllowed, NotAuthenticated, authenticate
from core.clients.models import Scope
from core.lib.http import BadRequest
from errors.event.body import SUPPORTED_ENCODINGS
from errors.exceptions import (
    NotStorable,
    OverQuota,
    TooLarge,
    Unavailable,
    Unreadable,
    UnsupportedEncoding,
)
from errors.ingest.authentication import Project
from errors.ingest.responses import CORS
from otlp import log_records, metrics, services, traces, wire

log = logging.getLogger(__name__)

# A handler stores the decoded message and returns the parts that it rejected.
Handler = Callable[[Any, Project, datetime], services.Rejected]


def endpoint(
    scope: Scope, takes: type[Message], *, answers: type[Message], counts: str
) -> Callable[[Handler], Callable[[HttpRequest], HttpResponse]]:
    """Return a decorator that turns a handler of messages of type `takes` into a view.

    The view authenticates the client with a key that has `scope`. The response has the type `answers`, and the field
    `counts` of its partial success is the number of rejected parts.
    """

    def decorate(handle: Handler) -> Callable[[HttpRequest], HttpResponse]:
        @csrf_exempt
        @wraps(handle)
        def view(request: HttpRequest) -> HttpResponse:
            media_type = wire.MediaType.JSON
            origin = request.headers.get("Origin")
            headers = {**dict(CORS), "Access-Control-Allow-Origin": "*"}
            if request.method == "OPTIONS":  # Browsers send no key with a preflight request.
                return HttpResponse(status=200, headers=headers)
            try:
                if request.method != "POST":
                    headers["Allow"] = "POST, OPTIONS"
                    raise BadRequest("use POST at this address", 405)
                project = Project.of(authenticate(request, scope, use_cache=True))
                headers["Access-Control-Allow-Origin"] = project.allow_origin(origin)
                if not project.accepts_origin(origin):
                    raise NotAllowed("this origin is not allowed to send data to this app")
                media_type = wire.media_type_of(request.headers.get("Content-Type", ""))
                encoding = request.headers.get("Content-Encoding", "")
                message = wire.decode(request.body, encoding, media_type, takes)
                rejected = handle(message, project, timezone.now())
                answer, status = _success(answers, counts, rejected), 200
            except Exception as error:
                status, detail, more = _refusal(error)
                headers |= more
                answer = wire.refusal(status, detail)
            content = wire.encode(answer, media_type)
            return HttpResponse(
                content, status=status, content_type=media_type.value, headers=headers
            )

        return view

    return decorate


def _success(answers: type[Message], counts: str, rejected: services.Rejected) -> Message:
    answer: Any = answers()
    if rejected.count:
        setattr(answer.partial_success, counts, rejected.count)
        answer.partial_success.error_message = rejected.reason
    return answer


def _refusal(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return the HTTP status, the detail and extra headers for an error. Log errors that the client did not cause."""
    match error:
        case NotAuthenticated():
            return 401, str(error), {"WWW-Authenticate": "Bearer"}
        case NotAllowed():
            return 403, str(error), {}
        case BadRequest():
            return error.status, error.detail, {}
        case Unreadable():
            return 400, str(error), {}
        case UnreadablePostError():
            return 400, "the body ends early", {}
        case TooLarge():
            return 413, str(error), {}
        case RequestDataTooBig():
            return 413, "the body is larger than 5 MiB", {}
        case UnsupportedEncoding():
            return 415, str(error), {"Accept-Encoding": ", ".join(SUPPORTED_ENCODINGS)}
        case OverQuota():
            detail = f"the app sent more than its quota allows ({error.quota_name})"
            return 429, detail, {"Retry-After": str(error.retry_after)}
        case Unavailable() | DatabaseError() | InterfaceError() if not isinstance(
            error, NotStorable
        ):
            log.warning(
                "OTLP data was not stored, because the database is unavailable", exc_info=error
            )
            retry_after = str(Unavailable.retry_after)
            return 503, "the store is unavailable", {"Retry-After": retry_after}
    log.error("an OTLP request failed", exc_info=error)
    return 500, "internal error", {}


@endpoint(
    Scope.INGEST,
    ExportTraceServiceRequest,
    answers=ExportTraceServiceResponse,
    counts="rejected_spans",
)
def export_traces(
    message: ExportTraceServiceRequest, project: Project, now: datetime
) -> services.Rejected:
    return services.store_traces(traces.read(message), project=project, now=now)


@endpoint(
    Scope.INGEST,
    ExportLogsServiceRequest,
    answers=ExportLogsServiceResponse,
    counts="rejected_log_records",
)
def export_logs(
    message: ExportLogsServiceRequest, project: Project, now: datetime
) -> services.Rejected:
    return services.store_logs(log_records.read(message), project=project, now=now)


@endpoint(
    Scope.METRICS,
    ExportMetricsServiceRequest,
    answers=ExportMetricsServiceResponse,
    counts="rejected_data_points",
)
def export_metrics(
    message: ExportMetricsServiceRequest, project: Project, now: datetime
) -> services.Rejected:
    return services.store_metrics(metrics.read(message), project=project, now=now)
