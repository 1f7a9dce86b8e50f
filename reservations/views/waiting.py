"""Handle the waiting-list API for apps: join, read, leave, and list the open offers.

An app sees only its own customers.
"""

import uuid
from datetime import datetime
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.customers import customer_reference, earlier_references
from core.lib.http import json_response, problem, read_json, refuse_email_address
from reservations import services
from reservations.models import WaitingEntry

MAX_LISTED = 500


class JoinWaitingList(msgspec.Struct, forbid_unknown_fields=True):
    ticket_type: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=20)]
    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    order_id: Annotated[str, msgspec.Meta(max_length=100)] = ""

    def __post_init__(self) -> None:
        refuse_email_address("order_id", self.order_id)


@api(Scope.RESERVATIONS, "GET", "POST")
def waiting_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    return _join(request, app) if request.method == "POST" else _list_offers(app)


def _join(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Respond with 201 and the new entry, or with 200 and the customer's existing entry or open offer."""
    body, now = read_json(request, JoinWaitingList), timezone.now()
    try:
        joined = services.join(
            app=app,
            ticket_type=body.ticket_type,
            quantity=body.quantity,
            customer=customer_reference(body.customer),
            earlier_customers=earlier_references(body.customer),
            order_id=body.order_id,
            now=now,
        )
    except services.UnknownTicketType as refusal:
        return problem(422, str(refusal), type="unknown-ticket-type")
    except services.NoWaitingList as refusal:
        return problem(409, str(refusal), type="no-waiting-list", title="No waiting list")
    except services.NotOnSale as refusal:
        return problem(409, str(refusal), type="not-on-sale", title="Not on sale")
    except services.NotSoldOut as refusal:
        return problem(409, str(refusal), type="not-sold-out", title="Not sold out")
    except services.MoreThanCapacity as refusal:
        return problem(409, str(refusal), type="more-than-capacity", title="Too many tickets")
    except services.LimitReached as refusal:
        return problem(409, str(refusal), type="limit", limit=refusal.limit, owned=refusal.owned)
    return json_response(as_json(joined.entry, now), 201 if joined.is_new else 200)


def _list_offers(app: ClientApp) -> HttpResponse:
    """Respond with up to MAX_LISTED valid offers, so that the app can notify the customers."""
    now = timezone.now()
    open_offers = WaitingEntry.objects.offered(now).filter(app=app).select_related("reservation")
    return json_response({"offers": [as_json(entry, now) for entry in open_offers[:MAX_LISTED]]})


@api(Scope.RESERVATIONS, "GET")
def read(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    entry = _find(app, reference)
    return json_response(as_json(entry, timezone.now())) if entry else _not_found()


@api(Scope.RESERVATIONS, "POST")
def leave(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    entry, now = _find(app, reference), timezone.now()
    if entry is None:
        return _not_found()
    try:
        return json_response(as_json(services.leave(entry=entry, now=now), now))
    except services.CannotChange as refusal:
        return problem(
            409,
            str(refusal),
            type=refusal.reason,
            title="Not possible now",
            status_now=entry.shown_status(now),
        )


def as_json(entry: WaitingEntry, now: datetime) -> dict[str, object]:
    status = entry.shown_status(now)
    ahead = WaitingEntry.objects.waiting().filter(ticket_type=entry.ticket_type_id)
    return {
        "id": entry.uuid,
        "ticket_type": entry.ticket_type_id,
        "quantity": entry.quantity,
        "customer": entry.customer,
        "order_id": entry.order_id,
        "status": status,
        "position": ahead.filter(pk__lte=entry.pk).count() if status == "waiting" else None,
        "reservation": entry.reservation.uuid if entry.reservation else None,
        "expires_at": entry.reservation.expires_at
        if entry.reservation and status == "offered"
        else None,
        "created_at": entry.created_at,
    }


def _find(app: ClientApp, reference: uuid.UUID) -> WaitingEntry | None:
    found = WaitingEntry.objects.select_related("reservation").filter(app=app, uuid=reference)
    return found.first()


def _not_found() -> HttpResponse:
    return problem(404, "the waiting list has no such entry")
