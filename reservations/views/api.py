"""Handle the reservation API for apps: reserve, read, extend, cancel, complete.

An app sees only its own reservations.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api, idempotency_key_of
from core.clients.models import ClientApp, Scope
from core.lib.customers import customer_reference, earlier_references
from core.lib.http import BadRequest, json_response, problem, read_json, refuse_email_address
from core.lib.scrub import scrub_text
from payments.models import Payment
from reservations import services
from reservations.models import Line, Reservation
from reservations.models.holds import MAX_EXTENSIONS
from reservations.queries.drift import find_drift
from reservations.queries.stats import collect_stats

Text = Annotated[str, msgspec.Meta(max_length=100)]


class Item(msgspec.Struct, forbid_unknown_fields=True):
    ticket_type: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class NewReservation(msgspec.Struct, forbid_unknown_fields=True):
    items: Annotated[list[Item], msgspec.Meta(min_length=1, max_length=20)]
    customer: Annotated[str, msgspec.Meta(max_length=200)] = ""
    order_id: Text = ""

    def __post_init__(self) -> None:
        refuse_email_address("order_id", self.order_id)


class Completion(msgspec.Struct, forbid_unknown_fields=True):
    payment: uuid.UUID | None = None
    paid_elsewhere: Annotated[str, msgspec.Meta(max_length=200)] = ""


@api(Scope.RESERVATIONS, "POST", cache_keys=True)
def create(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Respond with 201 and the reservation, or with 200 and the existing reservation if the key was used before."""
    wanted = _wanted(read_json(request, NewReservation), idempotency_key_of(request))
    now = timezone.now()
    try:
        made = services.reserve(app=app, wanted=wanted, now=now)
    except services.SoldOut as refusal:
        return problem(
            409,
            f"not enough tickets left: {refusal}",
            type="sold-out",
            title="Sold out",
            ticket_type=refusal.ticket_type.pk,
            left=refusal.left,
        )
    except services.LimitReached as refusal:
        return problem(
            409,
            str(refusal),
            type="limit",
            title="Limit reached",
            ticket_type=refusal.ticket_type.pk,
            limit=refusal.limit,
            owned=refusal.owned,
        )
    except services.CustomerMissing as refusal:
        return problem(422, str(refusal), type="customer-missing")
    except services.Busy:
        return _busy()
    except services.KeyReused:
        return problem(422, "this idempotency key was used for another request", type="key-reused")
    except services.UnknownTicketType as refusal:
        return problem(422, str(refusal), type="unknown-ticket-type")
    except services.NotOnSale as refusal:
        return problem(409, str(refusal), type="not-on-sale", title="Not on sale")
    headers = {"Idempotency-Key": wanted.key}
    if not made.is_new:
        headers["Idempotent-Replayed"] = "true"
    return json_response(
        as_json(made.reservation, made.lines, now), 201 if made.is_new else 200, headers
    )


@api(Scope.RESERVATIONS, "GET")
def read(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    reservation = _find(app, reference)
    return _respond(reservation, timezone.now()) if reservation else _not_found()


@api(Scope.RESERVATIONS, "POST")
def extend(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    return _change(app, reference, services.extend)


@api(Scope.RESERVATIONS, "POST")
def cancel(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    return _change(app, reference, services.cancel)


@api(Scope.RESERVATIONS, "POST")
def complete(request: HttpRequest, app: ClientApp, reference: uuid.UUID) -> HttpResponse:
    body = read_json(request, Completion) if request.body else Completion()
    reservation, now = _find(app, reference), timezone.now()
    if reservation is None:
        return _not_found()
    payment = Payment.objects.filter(uuid=body.payment).first() if body.payment else None
    if body.payment and payment is None:
        return problem(422, "there is no such payment", type="payment-missing")
    try:
        return _respond(
            services.complete(
                reservation=reservation,
                payment=payment,
                paid_elsewhere=scrub_text(body.paid_elsewhere),
                now=now,
            ),
            now,
        )
    except services.CannotChange as refusal:
        return _conflict(refusal, reservation, now)


@api(Scope.RESERVATIONS, "GET")
def stats(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Respond with counts over all apps, which contain no customer data."""
    return json_response(collect_stats(now=timezone.now(), drift=find_drift()))


def _change(
    app: ClientApp, reference: uuid.UUID, change: Callable[..., Reservation]
) -> HttpResponse:
    reservation, now = _find(app, reference), timezone.now()
    if reservation is None:
        return _not_found()
    try:
        return _respond(change(reservation=reservation, now=now), now)
    except services.CannotChange as refusal:
        return _conflict(refusal, reservation, now)


def _wanted(body: NewReservation, key: str) -> services.Wanted:
    quantities = {item.ticket_type: item.quantity for item in body.items}
    if len(quantities) < len(body.items):
        raise BadRequest("list each ticket type only once", 422)
    normalized = (sorted(quantities.items()), body.customer, body.order_id)
    return services.Wanted(
        items=tuple(sorted(quantities.items())),
        customer=customer_reference(body.customer),
        order_id=body.order_id,
        key=key or uuid.uuid4().hex,
        digest=hashlib.sha256(msgspec.json.encode(normalized)).hexdigest(),
        earlier_customers=earlier_references(body.customer),
    )


def as_json(reservation: Reservation, lines: Iterable[Line], now: datetime) -> dict[str, object]:
    lines = list(lines)
    return {
        "id": reservation.uuid,
        "status": reservation.shown_status(now),
        "order_id": reservation.order_id,
        "items": [
            {"ticket_type": line.ticket_type_id, "quantity": line.quantity, "price": line.price}
            for line in lines
        ],
        "amount": sum(line.amount for line in lines),
        "currency": lines[0].currency,
        "created_at": reservation.created_at,
        "expires_at": reservation.expires_at,
        "seconds_left": max(0, int((reservation.expires_at - now).total_seconds()))
        if reservation.is_live(now)
        else 0,
        "extensions_left": MAX_EXTENSIONS - reservation.extensions,
        "payment_processing": reservation.processing_payment_id is not None
        and reservation.is_live(now),
    }


def _find(app: ClientApp, reference: uuid.UUID) -> Reservation | None:
    return Reservation.objects.filter(app=app, uuid=reference).first()


def _respond(reservation: Reservation, now: datetime) -> HttpResponse:
    return json_response(as_json(reservation, reservation.lines.all(), now))


def _not_found() -> HttpResponse:
    return problem(404, "there is no such reservation")


def _busy() -> HttpResponse:
    return problem(
        503,
        "too many buyers at the same time; try again",
        type="busy",
        title="Busy",
        headers={"Retry-After": "1"},
    )


def _conflict(
    refusal: services.CannotChange, reservation: Reservation, now: datetime
) -> HttpResponse:
    return problem(
        409,
        str(refusal),
        type=refusal.reason,
        title="Not possible now",
        status_now=reservation.shown_status(now),
    )
