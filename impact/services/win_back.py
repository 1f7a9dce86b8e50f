"""Create lists of buyers whose orders were lost because of a problem."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from impact.extension_points import Description
from impact.models import WinBackEntry, WinBackList
from impact.queries.orders import list_orders
from impact.services.catch_up import catch_up
from impact.states import State

CHUNK_SIZE = 500
# The list is stored and not updated, so it is worth waiting longer for changes than on a page.
CATCH_UP_SECONDS = 5.0


def write_win_back_list(
    *, kind: str, id: int, description: Description, user: User, now: datetime
) -> WinBackList:
    """Store the orders that have been lost because of the problem so far, with their customers, and return the list."""
    catch_up(seconds=CATCH_UP_SECONDS)
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
