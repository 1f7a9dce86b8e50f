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
    """The tickets of one type. `price` is for one ticket, in minor units, as in Stripe's API."""

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
    """A place on the waiting list. `reservation` and `expires_at` describe the offer, if there is one."""

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


ETAG = {"If-None-Match": "The `ETag` of the last response that the client received."}
UNKNOWN = {404: "There is no such reservation."}
NOT_NOW = "The reservation's status does not allow the change. `type` is the reason, and `status_now` is the status."

for method in ("GET", "HEAD"):
    describe(
        "reservations:availability",
        method,
        "Return the events that are on sale or will be, with their ticket types, prices and tickets left.",
        notes="Availability is computed once per second, so it is safe to poll. Send the `ETag` of the"
        " last response as `If-None-Match` to get a 304 if nothing has changed. Tickets that are"
        " reserved for the waiting list do not count as left.",
        scope="reservations",
        is_frequent=True,
        answers={200: Availability if method == "GET" else None, 304: None},
        headers=ETAG,
    )
    describe(
        "reservations:availability-event",
        method,
        "Return one event that is on sale or will be.",
        notes="The same rules apply as for the list of all events.",
        scope="reservations",
        answers={200: EventOnSale if method == "GET" else None, 304: None},
        headers=ETAG,
        refusals={404: "There is no such event, or its sale is over."},
    )
describe(
    "reservations:reservation-create",
    "POST",
    "Hold tickets for a customer for a limited time.",
    notes="Either all tickets are held or none. The buyer can pay until `expires_at`. A repeated call with the "
    "same key returns the existing reservation with status 200 and holds no more tickets, so repeat the call "
    "after a timeout or a 503. After a refusal,"
    " the key can be used again. Ticket types with a limit per customer require `customer`.",
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
    "Return the number of reservations and seats by status, and the open problems.",
    notes="The figures cover all apps and contain no customer data. Reservations whose payment is"
    " being processed are counted separately, because they hold their tickets for days.",
    scope="reservations",
    answers={200: ReservationStats},
)
describe(
    "reservations:reservation-read",
    "GET",
    "Return a reservation of the app, with its current status.",
    notes="A hold that has run out is `expired`, even if its tickets have not been released yet."
    " `payment_processing` is true while a payment such as a bank debit is being processed; the"
    " tickets are held until its outcome is known.",
    scope="reservations",
    answers={200: Reservation},
    refusals=UNKNOWN,
)
describe(
    "reservations:reservation-extend",
    "POST",
    "Extend the hold of a reservation to 15 minutes from now.",
    notes="A reservation can be extended 4 times, and only before it expires. The 15 minutes start"
    " at the time of the call, so the remaining time of the hold is not added. A refused call does"
    " not change `expires_at`.",
    scope="reservations",
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:reservation-cancel",
    "POST",
    "Cancel a reservation and release its tickets.",
    notes="Only an active reservation can be cancelled, and not while a payment for it is being"
    " processed. Sold tickets are released by a refund instead. A repeated call changes nothing.",
    scope="reservations",
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:reservation-complete",
    "POST",
    "Complete a reservation, so that its tickets are sold.",
    notes="A reservation that is paid through the portal is completed automatically, so this call is"
    " for free tickets (without a body) and for payments outside the portal (`paid_elsewhere`"
    " names the payment method). `payment` names a successful payment of the portal. An expired hold can be"
    " completed until its tickets have been released. A repeated call changes nothing.",
    scope="reservations",
    takes=Completion,
    takes_nothing_too=True,
    answers={200: Reservation},
    refusals={**UNKNOWN, 409: NOT_NOW},
)
describe(
    "reservations:waiting-list",
    "POST",
    "Add a customer to the waiting list of a sold-out ticket type.",
    notes="A customer who is already on the list, or has an offer, stays there, and the response has status "
    "200. When tickets become available, customers get offers in the order of the list. An"
    " offer is a reservation with a time limit. The portal does not notify customers: poll the"
    " list of offers, and notify the customers yourself.",
    scope="reservations",
    takes=JoinWaitingList,
    answers={200: WaitingEntry, 201: WaitingEntry},
    refusals={
        409: "`type` is `not-sold-out`, `no-waiting-list`, `not-on-sale`, `more-than-capacity` or"
        " `limit` (with `limit`, `owned`)."
    },
)
describe(
    "reservations:waiting-list",
    "GET",
    "Return the open offers to the app's waiting customers.",
    notes="Poll this list, and notify each customer of the offer. `reservation` is the id of the held"
    " reservation, which is paid like other reservations. `expires_at` is the end of the offer. The"
    " response contains at most 500 offers.",
    scope="reservations",
    answers={200: Offers},
)
describe(
    "reservations:waiting-read",
    "GET",
    "Return an entry of the waiting list, with its position or its offer.",
    notes="`position` starts at 1 and is null when the customer no longer waits. With the status"
    " `offered`, `reservation` and `expires_at` are set.",
    scope="reservations",
    answers={200: WaitingEntry},
    refusals={404: "There is no such entry."},
)
describe(
    "reservations:waiting-leave",
    "POST",
    "Remove a customer from the waiting list, or decline the offer.",
    notes="The tickets of a declined offer are offered to the next customer. If the offer was"
    " accepted, the response is a 409. A repeated call changes nothing.",
    scope="reservations",
    answers={200: WaitingEntry},
    refusals={404: "There is no such entry.", 409: NOT_NOW},
)
