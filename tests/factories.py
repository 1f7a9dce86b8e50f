"""Create rows for tests. Each model has a typed function, and tests pass only the values that matter to them."""

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from alerts.extension_points import Severity
from alerts.models import SystemAlert
from alerts.services import report_problem
from core.clients.models import ClientApp
from core.lib.uuids import parse_uuids
from health.models import Component, Monitor
from payments.models import Payment, WebhookEvent
from reservations.models import Event, Line, TicketType
from reservations.services import Wanted

_numbers = itertools.count(1)


def make_app(slug: str = "", **fields: object) -> ClientApp:
    slug = slug or f"app-{next(_numbers)}"
    return ClientApp.objects.create(**{"name": slug.title(), "slug": slug, **fields})


# --- reservations and payments -------------------------------------------------------------------------


def make_event(slug: str = "", **fields: Any) -> Event:
    slug = slug or f"event-{next(_numbers)}"
    return Event.objects.create(**{"name": slug.title(), "slug": slug, **fields})


def make_ticket_type(
    capacity: int = 10, *, event: Event | None = None, **fields: Any
) -> TicketType:
    return TicketType.objects.create(
        event=event or make_event(),
        capacity=capacity,
        **{"name": f"Type {next(_numbers)}", "price": 2500, "currency": "EUR", **fields},
    )


def wanted(*items: tuple[TicketType, int], key: str = "", **fields: Any) -> Wanted:
    """Return the tickets that a buyer wants: `wanted((standing, 2), (seated, 1), customer="c-1")`."""
    quantities = tuple(sorted((type_.pk, quantity) for type_, quantity in items))
    given = {"customer": "", "order_id": "", "digest": str(quantities), **fields}
    return Wanted(items=quantities, key=key or f"key-{next(_numbers)}", **given)


def make_payment(reservation_id: str = "", **fields: Any) -> Payment:
    """Create a payment for the price of its reservation. The payment has succeeded unless `status` is given."""
    number = next(_numbers)
    now = fields.pop("now", None) or timezone.now()
    price = 0
    if parse_uuids([reservation_id]):
        lines = Line.objects.filter(reservation__uuid=reservation_id)
        price = sum(line.amount for line in lines)
    given = {
        "app": fields.pop("app", None) or make_app(),
        "livemode": False,
        "key": f"key-{number}",
        "fingerprint": "f" * 64,
        "state": "finished",
        "locked_until": now,
        "amount": price or 2500,
        "currency": "EUR",
        "reservation_id": reservation_id,
        "intent_id": f"pi_{number}",
        "status": "succeeded",
        "created_at": now,
        "finished_at": now,
        "expires_at": now + timedelta(hours=24),
        **fields,
    }
    if given["status"] == "succeeded":
        given.setdefault("amount_received", given["amount"])
    return Payment.objects.create(**given)


def make_alert(**fields: Any) -> SystemAlert:
    """Report a problem, and return its open alert. If `state` is given, write that state to the alert's row."""
    number = next(_numbers)
    reported = {
        "key": f"problem-{number}",
        "alert_type": "high-error-rate",
        "title": f"Problem {number}",
        "message": "Something is wrong.",
        "severity": Severity.CRITICAL,
        "source": "tests",
        "references": None,
        "labels": None,
        "metadata": None,
        "app": None,
        "now": timezone.now(),
    }
    given = {name: fields.pop(name) for name in list(fields) if name in reported}
    alert = report_problem(**{**reported, **given})
    if fields:
        SystemAlert.objects.filter(pk=alert.pk).update(**fields)
        alert.refresh_from_db()
    return alert


# --- health --------------------------------------------------------------------------------------------


def make_component(name: str = "", **fields: Any) -> Component:
    name = name or f"component-{next(_numbers)}"
    return Component.objects.create(**{"kind": "check", "name": name, "title": name, **fields})


def make_monitor(url: str, **fields: Any) -> Monitor:
    name = f"monitor-{next(_numbers)}"
    return Monitor.objects.create(
        **{"kind": "monitor", "name": name, "title": name.title(), "url": url, **fields}
    )


def make_webhook_event(**fields: Any) -> WebhookEvent:
    """Create a webhook event. Unless `fields` say otherwise, it was received now and is not processed yet."""
    at = fields.get("received_at") or timezone.now()
    given = {
        "event_id": f"evt_{next(_numbers)}",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created_at": at,
        "received_at": at,
        "next_try_at": timezone.now(),
        "payload": {},
        **fields,
    }
    return WebhookEvent.objects.create(**given)
