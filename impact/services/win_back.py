"""Lists of buyers whose orders a problem lost, and the erasure of a person from them."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from core.lib.customers import customer_reference, user_references
from impact.extension_points import Description
from impact.models import Order, OrderReference, ProblemReference, WinBackEntry, WinBackList
from impact.queries.orders import list_orders
from impact.references import ReferenceKind
from impact.services.catch_up import catch_up
from impact.states import State

CHUNK_SIZE = 500


def write_win_back_list(
    *, kind: str, id: int, description: Description, user: User, now: datetime
) -> WinBackList:
    """Store the orders that the problem has lost so far, with their customers, and return the list."""
    catch_up()
    with transaction.atomic():
        written = WinBackList.objects.create(
            title=description.title[:300], kind=kind, problem=id, created_at=now, created_by=user
        )
        after: int | None = 0
        while after is not None:
            page = list_orders(
                description, now=now, states=[State.LOST], after=after, size=CHUNK_SIZE
            )
            WinBackEntry.objects.bulk_create(
                WinBackEntry(
                    list=written,
                    order_key=order.key,
                    customer=order.customer,
                    amount=amount,
                    currency=currency,
                    seats=order.seats if place == 0 else 0,
                    lost_at=order.settled_at,
                )
                for order in page.rows
                for place, (currency, amount) in enumerate(order.amounts.items())
            )
            after = page.next_id
    return written


@transaction.atomic
def erase_person(*, customer: str) -> int:
    """Remove a customer from all lists, orders and references, and return the number of list entries removed.

    `customer` is the id that apps send, or an e-mail address. The amounts of the orders stay, without the person.
    """
    reference = customer_reference(customer)
    users = user_references(reference)
    removed, _ = WinBackEntry.objects.filter(customer=reference).delete()
    Order.objects.filter(customer=reference).update(customer="")
    named = Q(value__in=users)
    OrderReference.objects.filter(named, kind=ReferenceKind.USER).delete()
    ProblemReference.objects.filter(named, ref_kind=ReferenceKind.USER).delete()
    return removed
