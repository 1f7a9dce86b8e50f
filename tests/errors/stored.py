"""Create stored errors for page tests, and return the addresses of their pages."""

import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.urls import reverse

from core.clients.models import ClientApp
from errors.models import ErrorEvent, ErrorGroup
from errors.services import NewEvent, record_events

_numbers = itertools.count(1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)

PAYLOAD: dict[str, Any] = {
    "exception": {
        "values": [
            {"type": "HTTPError", "value": "402 from the bank"},
            {
                "type": "PaymentDeclined",
                "value": "card was declined",
                "stacktrace": {
                    "frames": [
                        {"filename": "django/handlers.py", "function": "inner", "lineno": 55},
                        {
                            "filename": "shop/checkout.py",
                            "function": "confirm",
                            "lineno": 42,
                            "in_app": True,
                            "pre_context": ["def confirm(order):"],
                            "context_line": "    raise PaymentDeclined(reason)",
                            "vars": {"order": "<Order #7>", "script": "<script>alert(1)</script>"},
                        },
                    ]
                },
            },
        ]
    },
    "breadcrumbs": {"values": [{"timestamp": 0, "category": "query", "message": "SELECT 1"}]},
    "request": {"method": "POST", "url": "https://shop.example/pay", "headers": {"Accept": "*/*"}},
    "tags": {"browser": "Firefox 133"},
    "contexts": {"runtime": {"name": "CPython", "version": "3.11.2"}},
}


def new_error(
    app: ClientApp, *, group: str = "", payload: dict[str, Any] | None = None, **fields: Any
) -> NewEvent:
    """Return an error of the app without storing it.

    Errors with the same `group` get the same fingerprint. `fields` set further attributes of NewEvent.
    """
    number = next(_numbers)
    given: dict[str, Any] = {
        "app_id": app.pk,
        "event_id": uuid.uuid4().hex,
        "received_at": NOON,
        "occurred_at": fields.get("received_at", NOON),
        "group_hash": (group or f"group-{number}").ljust(32, "0")[:32],
        "title": "PaymentDeclined: card was declined",
        "type": "PaymentDeclined",
        "culprit": "shop.checkout in confirm",
        "payload": msgspec.json.encode(PAYLOAD if payload is None else payload),
        **fields,
    }
    return NewEvent(**given)


def make_error(
    app: ClientApp, *, group: str = "", payload: dict[str, Any] | None = None, **fields: Any
) -> ErrorEvent:
    """Create an error like `new_error`, store it, and return it."""
    event = new_error(app, group=group, payload=payload, **fields)
    record_events([event])
    return ErrorEvent.objects.select_related("group").get(event_id=event.event_id)


def group_of(event: ErrorEvent) -> ErrorGroup:
    return ErrorGroup.objects.get(pk=event.group_id)


def record_group(app: ClientApp, **fields: Any) -> ErrorGroup:
    """Store an error that belongs to a new group, and return the group."""
    return group_of(make_error(app, group=uuid.uuid4().hex, **fields))


def group_url(event: ErrorEvent) -> str:
    return reverse("errors:group-detail", args=[event.group_id])


def event_url(event: ErrorEvent) -> str:
    return reverse("errors:event-detail", args=[event.group_id, event.pk])
