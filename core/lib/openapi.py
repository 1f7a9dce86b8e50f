"""Generate the OpenAPI 3.1 description of the API from the URL table and the structs that views read and return.

Each app describes its operations in `api_operations.py`:

    describe("payments:payment-create", "POST", "Create a payment.", scope="payments",
             takes=CreatePayment, answers={201: PaymentCreated}, refusals={409: "The first request is in progress."})
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from core.lib.http import TITLES
from core.lib.registry import Registry


class Problem(msgspec.Struct):
    """A refusal (RFC 9457). The descriptions of some refusals name further members."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class TooManyRequests(Problem):
    error: str
    retryAfter: Annotated[int, msgspec.Meta(ge=1)]


NDJSON = "application/x-ndjson"  # A media type with one JSON document per line.
LINE = "x-line"


@dataclass(frozen=True)
class Operation:
    url: str  # The name in the URL table.
    method: str
    summary: str
    # Maps a status to a struct, a tuple of alternative structs, or None for an empty body.
    answers: Mapping[int, Any]
    takes: Any = None
    takes_nothing_too: bool = False
    # Limits, effects, and the result of a repeated call, for the authors of clients.
    notes: str = ""
    scope: str = ""  # The scope that the key must have, or "" if no key is required.
    refusals: Mapping[int, str] = field(default_factory=dict)
    refusal_shape: Any = Problem
    # Maps a request header to its description.
    headers: Mapping[str, str] = field(default_factory=dict)
    # Maps a parameter of the query string to its description.
    query: Mapping[str, str] = field(default_factory=dict)
    # The path of the operation, if one pattern of the URL table serves several paths.
    path: str = ""
    path_notes: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    streams_lines: bool = False  # If True, the answer is NDJSON, and `answers` describes one line.
    # Apps call these operations hundreds of times a second, so they skip the middleware that only pages need.
    is_frequent: bool = False

    @property
    def needs_named_app(self) -> bool:
        """Return True if a person who calls this operation with a personal token must name an app."""
        return self.scope.startswith("errors:")


registry: Registry[Operation] = Registry("api_operations", is_lazy=True)

# core.clients.api.idempotency_key_of() checks this rule.
_HEADER_SCHEMAS = {"Idempotency-Key": {"minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}}
IDEMPOTENCY_KEY = {
    "Idempotency-Key": "The key has 1 to 255 printable ASCII characters. A repeated call with the same key gets the "
    "same response and changes nothing."
}


def describe(
    url: str, method: str, summary: str, *, answers: Mapping[int, Any], path: str = "", **more: Any
) -> None:
    operation = Operation(url, method, summary, answers, path=path, **more)
    registry.add(f"{method} {url}{' ' + path if path else ''}", operation)


def routes() -> dict[str, str]:
    """Return the route of every named pattern in the URL table."""
    return dict(_routes(get_resolver(), "", ""))


def document() -> dict[str, Any]:
    """Return the whole description, ready to be encoded as JSON."""
    registry.autodiscover()  # Importing the views here keeps them out of commands, which do not need them.
    known = routes()
    shapes: dict[str, Any] = {}
    for operation in registry:
        for shape in (operation.takes, *operation.answers.values(), operation.refusal_shape):
            shapes |= {repr(one): one for one in _alternatives(shape)}
    shapes |= {repr(one): one for one in (Problem, TooManyRequests)}
    schemas, components = msgspec.json.schema_components(
        shapes.values(), ref_template="#/components/schemas/{name}"
    )
    for schema in (*schemas, *components.values()):
        _complete(schema)
    by_shape = dict(zip(shapes, schemas, strict=True))

    def schema_of(shape: Any) -> Any:
        found = [by_shape[repr(one)] for one in _alternatives(shape)]
        return found[0] if len(found) == 1 else {"anyOf": found}

    paths: dict[str, dict[str, Any]] = {}
    for operation in registry:
        path, parameters = _path(operation, known[operation.url])
        paths.setdefault(path, {})[operation.method.lower()] = _operation(
            operation, parameters, schema_of
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opsportal",
            "version": settings.VERSION,
            "description": "Client apps use this API. Errors are problem documents (RFC 9457). Calls are rate-limited, "
            "and every response states the remaining calls. Each response has an `X-Request-ID`, "
            "which the client sent or the portal generated.",
        },
        "servers": [{"url": settings.BASE_URL}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Send a secret key of an app (`ops_…`) with the scope of the operation, or the "
                    "public key of a DSN if the scope is ingest or metrics. `X-API-Key` is accepted as well. The "
                    "scopes for errors, on-call schedules, configuration, incidents and admin also accept a personal "
                    "token (`opp_…`). If a request about errors has a personal token, `?app=` or `X-Opsportal-App` "
                    "names the app.",
                }
            },
        },
    }


def _complete(schema: Any) -> None:
    """Add `items` to arrays that lack it. JSON Schema does not require `items`, but client generators do."""
    if isinstance(schema, dict):
        if schema.get("type") == "array" and not schema.keys() & {"items", "prefixItems"}:
            schema["items"] = {}
        for value in list(schema.values()):
            _complete(value)
    elif isinstance(schema, list):
        for value in schema:
            _complete(value)


def _operation(
    operation: Operation, parameters: list[dict[str, Any]], schema_of: Callable[[Any], Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}-{operation.url.replace(':', '-')}"
        + re.sub(r"\W+", "-", operation.path).rstrip("-"),
        "tags": [operation.url.partition(":")[0]],
        "summary": operation.summary,
        "security": [{"key": []}] if operation.scope else [],
        "responses": {},
    }
    scope = f"Scope: `{operation.scope}`." if operation.scope else ""
    if notes := [text for text in (operation.notes, scope) if text]:
        described["description"] = "\n\n".join(notes)
    for name, text in operation.headers.items():
        schema = {"type": "string", **_HEADER_SCHEMAS.get(name, {})}
        parameters.append({"name": name, "in": "header", "description": text, "schema": schema})
    for name, text in operation.query.items():
        schema = {"type": "string"}
        parameters.append({"name": name, "in": "query", "description": text, "schema": schema})
    if parameters:
        described["parameters"] = parameters
    if operation.takes is not None:
        described["requestBody"] = {
            "required": not operation.takes_nothing_too,
            "content": {operation.media_type: {"schema": schema_of(operation.takes)}},
        }
    for status, shape in sorted(operation.answers.items()):
        answer: dict[str, Any] = {"description": _ANSWERS.get(status, "Done.")}
        if shape is not None:
            schema = schema_of(shape)
            if operation.streams_lines:
                # OpenAPI 3.1 cannot describe a stream, so an extension contains the schema of a line.
                answer["content"] = {
                    NDJSON: {"schema": {"type": "string", "format": "binary", LINE: schema}}
                }
            else:
                answer["content"] = {"application/json": {"schema": schema}}
        described["responses"][str(status)] = answer
    for status, text in sorted(_refusals(operation).items()):
        refusal = _refusal(operation, status, text, schema_of)
        known = described["responses"].get(str(status))
        if known is None:
            described["responses"][str(status)] = refusal
        else:  # The operation itself already describes a success with this status.
            known["description"] = text
            known["content"] |= refusal["content"]
    return described


def _refusal(
    operation: Operation, status: int, text: str, schema_of: Callable[[Any], Any]
) -> dict[str, Any]:
    refusal: dict[str, Any] = {"description": text}
    if status in (429, 503):
        wait = {
            "description": "The number of seconds to wait.",
            "schema": {"type": "integer", "minimum": 1},
        }
        refusal["headers"] = {"Retry-After": wait}
    if operation.refusal_shape is Problem:
        shape = TooManyRequests if status == 429 else Problem
        refusal["content"] = {"application/problem+json": {"schema": schema_of(shape)}}
    elif status != 429:
        refusal["content"] = {
            "application/json": {"schema": schema_of(operation.refusal_shape)},
            # Some requests are refused before the operation is called, such as those with a wrong host name.
            "application/problem+json": {"schema": schema_of(Problem)},
        }
    return refusal


_ANSWERS = {
    200: "Done.",
    201: "Created.",
    202: "Accepted.",
    204: "The request succeeded. The response has no content.",
    304: "Not modified.",
}


def _refusals(operation: Operation) -> dict[int, str]:
    """Return the refusals that all operations of this kind share, followed by the operation's own."""
    common: dict[int, str] = {}
    if operation.takes is not None:
        common |= {
            400: "The body is not valid JSON.",
            413: "The body is too large.",
            422: "The body does not match the schema; `detail` gives the position.",
        }
    if operation.scope:
        common |= {
            401: "The request has no key.",
            403: "The key is unknown or revoked, or lacks the scope, or its owner lacks the permission.",
        }
        if operation.needs_named_app:
            common.setdefault(
                400,
                "The token belongs to a person who sees several apps, and the request names no app.",
            )
    if operation.path_notes or "<" in operation.path:
        common |= {404: "Not found."}
    common |= {
        429: "Too many requests.",
        503: "A dependency is unavailable. The request can be repeated safely.",
    }
    return common | {status: text or TITLES[status] for status, text in operation.refusals.items()}


_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_CONVERTERS: dict[str, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    "slug": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
    "str": {"type": "string", "minLength": 1},
}


def _path(operation: Operation, route: str) -> tuple[str, list[dict[str, Any]]]:
    route = operation.path or route
    parameters = []
    for kind, name in _PARAMETER.findall(route):
        parameter = {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _CONVERTERS[kind or "str"],
        }
        if name in operation.path_notes:
            parameter["description"] = operation.path_notes[name]
        parameters.append(parameter)
    return "/" + _PARAMETER.sub(r"{\2}", route), parameters


def _routes(resolver: URLResolver, prefix: str, namespace: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += _routes(entry, route, entry.namespace or namespace)
        elif isinstance(entry, URLPattern):
            found.append((f"{namespace}:{entry.name}" if namespace else str(entry.name), route))
    return found


def _alternatives(shape: Any) -> tuple[Any, ...]:
    if shape is None:
        return ()
    return shape if isinstance(shape, tuple) else (shape,)
