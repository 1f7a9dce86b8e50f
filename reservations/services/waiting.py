"""Maintain the waiting lists of sold-out ticket types.

When tickets become available, they are held for the first customer on the list for whom they are enough. The customer
gets an offer to buy them.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from core.clients.models import ClientApp
from core.lib import formats
from reservations.models import Reservation, Status, TicketType, WaitingEntry
from reservations.models.waiting import WaitingEntryQuerySet
from reservations.services.customers import recognize_customer
from reservations.services.hold import CannotChange, cancel
from reservations.services.release import reclaim
from reservations.services.reserve import (
    LimitReached,
    NotOnSale,
    SoldOut,
    UnknownTicketType,
    Wanted,
    enforce_limit,
    hold_for_waiting_buyer,
)

State = WaitingEntry.State


class NoWaitingList(Exception):
    """The ticket type has no waiting list."""


class NotSoldOut(Exception):
    """Enough tickets are left, so the customer can reserve them without waiting."""


class MoreThanCapacity(Exception):
    """The ticket type has fewer tickets than the customer wants, so they can never be offered."""


@dataclass(frozen=True)
class Joined:
    entry: WaitingEntry
    is_new: bool


@transaction.atomic
def join(
    *,
    app: ClientApp,
    ticket_type: int,
    quantity: int,
    customer: str,
    earlier_customers: Sequence[str] = (),
    order_id: str,
    now: datetime,
) -> Joined:
    """Put the customer on the waiting list, or return the customer's existing entry or valid offer.

    Raises UnknownTicketType, NoWaitingList or NotOnSale if the type does not exist, has no list or is not on sale.
    Raises NotSoldOut if enough tickets are left, MoreThanCapacity if the type has too few tickets in all, and
    LimitReached if the customer would have too many tickets.
    """
    recognize_customer(customer=customer, earlier=earlier_customers)
    type_ = TicketType.objects.select_for_update().filter(pk=ticket_type).first()
    if type_ is None:
        raise UnknownTicketType(f"there is no ticket type with the id {ticket_type}")
    own = type_.waiting.filter(app=app, customer=customer)
    existing = own.waiting().first() or own.offered(now).first()
    if existing is not None:
        return Joined(existing, is_new=False)
    types = TicketType.objects.filter(pk=type_.pk)
    if not type_.has_waiting_list:
        raise NoWaitingList(f"{type_.name} has no waiting list")
    if not types.on_sale(now).exists():
        raise NotOnSale(f"{type_} is not on sale")
    if quantity <= types.available(now)[type_.pk]:
        raise NotSoldOut(f"{type_.name}: enough tickets are left, so reserve them instead")
    if 0 < type_.capacity < quantity:  # 0 stands for a capacity that is not decided yet.
        tickets = formats.quantity(type_.capacity, "tickets")
        raise MoreThanCapacity(f"{type_.name} has only {tickets} in total")
    enforce_limit(type_, customer, quantity, now)
    entry = WaitingEntry.objects.create(
        app=app,
        ticket_type=type_,
        quantity=quantity,
        customer=customer,
        order_id=order_id,
        created_at=now,
    )
    types.update(has_waiting_buyers=True)
    return Joined(entry, is_new=True)


def leave(*, entry: WaitingEntry, now: datetime) -> WaitingEntry:
    """Remove the customer from the list, or release the offered tickets. A second call changes nothing.

    Raises CannotChange if the offer has been accepted, or if a payment for it is being processed.
    """
    with transaction.atomic():
        TicketType.objects.select_for_update().get(pk=entry.ticket_type_id)
        if _still_waiting(entry).update(state=State.LEFT, ended_at=now):
            _update_flag(entry.ticket_type_id)
    entry.refresh_from_db()
    if entry.reservation is not None:
        # The transaction above locked the ticket type. Within that transaction, the reservation would be locked after
        # its type, while other functions lock reservations first, so a deadlock could occur.
        if entry.reservation.status not in (Status.ACTIVE, Status.CANCELLED, Status.EXPIRED):
            raise CannotChange("not-active", f"the offer was {entry.shown_status(now)}")
        cancel(reservation=entry.reservation, now=now)
    return entry


def remove_from_waiting_lists(*, entry_ids: Collection[int], now: datetime) -> None:
    """Clear the customer of these entries, and end those that are waiting. Offers stay valid."""
    entries = WaitingEntry.objects.filter(pk__in=entry_ids)
    type_ids = sorted(set(entries.waiting().values_list("ticket_type", flat=True)))
    with transaction.atomic():
        for type_id in type_ids:
            TicketType.objects.select_for_update().get(pk=type_id)
        entries.filter(state=State.WAITING).update(state=State.LEFT, ended_at=now)
        entries.update(customer="")
        for type_id in type_ids:
            _update_flag(type_id)


def offer_tickets(*, now: datetime) -> int:
    """Offer free tickets to waiting customers in order of arrival, and return the number of offers.

    An entry for more tickets than are free is skipped until enough tickets become available.
    """
    types = TicketType.objects.filter(has_waiting_buyers=True).select_related("event")
    return sum(_offer_type(type_, now) for type_ in types.order_by("pk"))


def _offer_type(type_: TicketType, now: datetime) -> int:
    ends_at = type_.sale_ends_at or type_.event.starts_at
    if ends_at is not None and ends_at <= now:
        with transaction.atomic():
            type_.waiting.waiting().update(state=State.CLOSED, ended_at=now)
            _update_flag(type_.pk)
        return 0
    if not TicketType.objects.filter(pk=type_.pk).on_sale(now).exists():
        return 0
    while reclaim(ticket_type_ids=[type_.pk], now=now):
        pass
    # Close entries for more tickets than exist since the capacity was reduced. Otherwise they would wait forever, and
    # no other customer could buy returned tickets.
    if type_.capacity:
        never = type_.waiting.waiting().filter(quantity__gt=type_.capacity)
        never.update(state=State.CLOSED, ended_at=now)
    offers = 0
    for entry in type_.waiting.waiting().select_related("app"):
        try:
            offers += _offer(entry, type_, now)
        except SoldOut as refusal:
            if not refusal.ticket_type.count_free():
                break
        except LimitReached:
            # The customer has bought tickets since joining the list, and would exceed the limit.
            _still_waiting(entry).update(state=State.CLOSED, ended_at=now)
    with transaction.atomic():
        _update_flag(type_.pk)
    return offers


@transaction.atomic
def _offer(entry: WaitingEntry, type_: TicketType, now: datetime) -> bool:
    """Hold the tickets for this entry and return True, or return False if the customer has just left the list.

    Raises SoldOut or LimitReached, like `hold_for_waiting_buyer`.
    """
    draft = Reservation(
        uuid=uuid.uuid4(),
        app=entry.app,
        idempotency_key=f"waiting-{entry.uuid}",
        fingerprint="",
        customer=entry.customer,
        order_id=entry.order_id,
        created_at=now,
    )
    wanted = Wanted(((type_.pk, entry.quantity),), entry.customer, entry.order_id, "", "")
    length = timedelta(minutes=type_.offer_minutes)
    made = hold_for_waiting_buyer(draft, wanted, type_, length=length)
    taken = _still_waiting(entry).update(
        state=State.OFFERED, reservation=made.reservation, ended_at=now
    )
    if not taken:
        transaction.set_rollback(True)
    return bool(taken)


def _still_waiting(entry: WaitingEntry) -> WaitingEntryQuerySet:
    """Return a queryset with the entry, or an empty one if the entry is no longer waiting."""
    return WaitingEntry.objects.filter(pk=entry.pk, state=State.WAITING)


def _update_flag(type_id: int) -> None:
    """Clear the type's `has_waiting_buyers` if no customer is waiting, so that all customers can buy again."""
    list(TicketType.objects.select_for_update().filter(pk=type_id).values_list("pk"))
    if not WaitingEntry.objects.waiting().filter(ticket_type=type_id).exists():
        TicketType.objects.filter(pk=type_id).update(has_waiting_buyers=False)
