"""Describe the reservation API in OpenAPI; see core.lib.openapi."""

import uuid
from datetime import datetime
from typing import Literal

import msgspec

from core.lib.openapi import IDEMPOTENCY_KEY, describe
from reservations.queries.stats import ReservationStats
from reservations.views.api import Completion, NewReservation
from reservations.views.waiting import JoinWaitingList

State = Literal["active", "completed", "cancelled", "expired", "refund_needed", "refunded"]


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """The tickets of one type. `price` is for one ticket, in the currency's smallest unit."""

    ticket_type: int
    quantity: int
    price: int


class Reservation(msgspec.Struct, forbid_unknown_fields=True):
    id: uuid.UUID
    status: State
    order_id: str
    items: list[Line]
    amount: int
    currency: str
    created_at: datetime
    expires_at: datetime
    seconds_left: int
    extensions_left: int
    payment_processing: bool


class TicketTypeOnSale(msgspec.Struct, forbid_unknown_fields=True):
    ticket_type: int
    name: str
    price: int
    currency: str
    on_sale: bool
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    left: int
    is_low: bool
    per_customer_limit: int | None
    waiting_list: bool


class EventOnSale(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    name: str
    starts_at: datetime | None
    ticket_types: list[TicketTypeOnSale]


class Availability(msgspec.Struct, forbid_unknown_fields=True):
    events: list[EventOnSale]


class WaitingEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A place on the waiting list. `reservation` and `expires_at` belong to the offer."""

    id: uuid.UUID
    ticket_type: int
    quantity: int
    customer: str
    order_id: str
    status: Literal["waiting", "offered", "accepted", "missed", "left", "closed"]
    position: int | None
    reservation: uuid.UUID | None
    expires_at: datetime | None
    created_at: datetime


class Offers(msgspec.Struct, forbid_unknown_fields=True):
    offers: list[WaitingEntry]


ETAG = {"If-None-Match": "The `ETag` of the response you have."}
UNKNOWN = {404: "No such reservation."}
NOT_NOW = (
    "The reservation's status does not allow it: `type` is the reason, `status_now` the status."
)

for method in ("GET", "HEAD"):
    describe(
        "reservations:availability",
        method,
        "Return the events that are on sale or will be, with their ticket types, prices and tickets left.",
        scope="reservations",
        is_frequent=True,
        answers={200: Availability if method == "GET" else None, 304: None},
        headers=ETAG,
    )
    describe(
        "reservations:availability-event",
        method,
        "Return one event that is on sale or will be.",
        scope="reservations",
        answers={200: EventOnSale if method == "GET" else None, 304: None},
        headers=ETAG,
        refusals={404: "No such event, or its sale is over."},
    )
describe(
    "reservations:reservation-create",
    "POST",
    "Hold tickets for a limited time. A repeat with the same key gets the same reservation (200).",
    scope="reservations",
    is_frequent=True,
    takes=NewReservation,
    answers={200: Reservation, 201: Reservation},
    headers=IDEMPOTENCY_KEY,
    refusals={
        409: "`type` is `sold-out` (with `ticket_type`, `left`), `limit` (with `ticket_type`, `limit`, `owned`) or `not-on-sale`."
    },
)
describe(
    "reservations:reservation-stats",
    "GET",
    "Return counts by status over all apps, and open problems.",
    scope="reservations",
    answers={200: ReservationStats},
)
describe(
    "reservations:reservation-read",
    "GET",
    "Return one of the app's reservations.",
    scope="reservations",
    answers={200: Reservation},
    refusals=UNKNOWN,
)
describe(
    "reservations:reservation-extend",
    "POST",
    "Extend the hold.",
    scope="reservations",
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:reservation-cancel",
    "POST",
    "Cancel the reservation and release its tickets.",
    scope="reservations",
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:reservation-complete",
    "POST",
    "Complete the reservation: paid through the portal, paid elsewhere, or free.",
    scope="reservations",
    takes=Completion,
    takes_nothing_too=True,
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:waiting-list",
    "POST",
    "Add a customer to the waiting list of a sold-out ticket type. A repeated request returns the entry (200).",
    scope="reservations",
    takes=JoinWaitingList,
    answers={200: WaitingEntry, 201: WaitingEntry},
    refusals={
        409: "`type` is `not-sold-out`, `no-waiting-list`, `not-on-sale` or `limit` (with `limit`, `owned`)."
    },
)
describe(
    "reservations:waiting-list",
    "GET",
    "Return the app's offers that can be taken now, at most 500.",
    scope="reservations",
    answers={200: Offers},
)
describe(
    "reservations:waiting-read",
    "GET",
    "Return one entry of the waiting list.",
    scope="reservations",
    answers={200: WaitingEntry},
    refusals={404: "No such entry."},
)
describe(
    "reservations:waiting-leave",
    "POST",
    "Remove the customer from the waiting list, or release the tickets that were offered.",
    scope="reservations",
    answers={200: WaitingEntry},
    refusals={404: "No such entry.", 409: NOT_NOW},
)
