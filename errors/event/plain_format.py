"""Convert errors from `POST /api/v1/errors/`, a plain JSON format for `curl` and scripts, into Sentry events."""

from typing import Any

import msgspec

from errors.exceptions import InvalidError


class Person(msgspec.Struct, forbid_unknown_fields=False):
    id: str | int | None = None
    username: str | None = None
    email: str | None = None


class PlainError(msgspec.Struct, rename=None):
    """An error in the portal's plain format. Only `message` is required. Unknown members are kept as extra data."""

    message: str
    severity: str = "error"
    type: str = ""
    stack: str | list[dict[str, Any]] = ""
    category: str = ""
    function: str = ""
    request_id: str = ""
    user_id: str | int = ""
    organization_id: str | int = ""
    order_id: str | int = ""
    payment_id: str | int = ""
    reservation_id: str | int = ""
    environment: str = ""
    release: str = ""
    platform: str = "other"
    occurred_at: str | float | int | None = None
    event_id: str | None = None
    context: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    fingerprint: list[str] | str = []


_ALIASES = {
    "level": "severity",
    "stack_trace": "stack",
    "stacktrace": "stack",
    "stackTrace": "stack",
    "component": "function",
    "function_name": "function",
    "requestId": "request_id",
    "userId": "user_id",
    "organisation_id": "organization_id",
    "organizationId": "organization_id",
    "organisationId": "organization_id",
    "orderId": "order_id",
    "payment_intent": "payment_id",
    "paymentId": "payment_id",
    "reservationId": "reservation_id",
    "occurredAt": "occurred_at",
    "timestamp": "occurred_at",
    "eventId": "event_id",
    "id": "event_id",
    "extra": "context",
}
_MEMBERS = frozenset(PlainError.__struct_fields__)
SEVERITIES = frozenset(("info", "warning", "error", "high", "critical", "fatal", "debug", "medium"))


def parse(given: Any) -> dict[str, Any]:
    """Return the Sentry event for one plain error. Raises InvalidError unless it is an object with valid members."""
    if not isinstance(given, dict):
        raise InvalidError("an error must be a JSON object")
    members: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for name, value in given.items():
        target = _ALIASES.get(name, name)
        if target in _MEMBERS:
            if value is not None and (name == target or target not in members):
                members[target] = value
        else:
            other[name] = value
    if "message" not in members:
        raise InvalidError("`message` is missing")
    try:
        error = msgspec.convert(members, PlainError)
    except msgspec.ValidationError as problem:
        raise InvalidError(str(problem)) from None
    if not error.message.strip():
        raise InvalidError("`message` is empty")
    if error.severity.lower() not in SEVERITIES:
        raise InvalidError("`severity` must be one of info, warning, error, high, critical")
    return _event(error, other)


def _event(error: PlainError, other: dict[str, Any]) -> dict[str, Any]:
    references = {
        "category": error.category,
        "function": error.function,
        "request_id": error.request_id,
        "organization_id": error.organization_id,
        "order_id": error.order_id,
        "payment_id": error.payment_id,
        "reservation_id": error.reservation_id,
    }
    event: dict[str, Any] = {
        "event_id": error.event_id,
        "timestamp": error.occurred_at,
        "platform": error.platform,
        "level": error.severity,
        "environment": error.environment or None,
        "release": error.release or None,
        "tags": dict(error.tags),
        "contexts": {"references": {name: value for name, value in references.items() if value}},
        "extra": {**other, **error.context},
        "fingerprint": [error.fingerprint] if isinstance(error.fingerprint, str) and error.fingerprint else error.fingerprint or None,
    }  # fmt: skip
    if error.user_id != "":
        event["user"] = {"id": error.user_id}
    frames = error.stack if isinstance(error.stack, list) else None
    if error.type or frames:
        exception: dict[str, Any] = {"type": error.type or "Error", "value": error.message}
        if frames:
            exception["stacktrace"] = {"frames": frames}
        event["exception"] = {"values": [exception]}
    else:
        event["logentry"] = {"formatted": error.message}
    if isinstance(error.stack, str) and error.stack:
        event["extra"]["stack"] = error.stack
    return event
