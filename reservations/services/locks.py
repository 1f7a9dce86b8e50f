from collections.abc import Iterable

from django.db import connection

from reservations.models import TicketType

LOCK_TIMEOUT = "3s"


def set_lock_timeout() -> None:
    """For the rest of this transaction. (SQLite has one writer and its own busy timeout.)"""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def lock_ticket_types(ids: Iterable[int]) -> None:
    """Take these rows, ascending, where a transaction changes types in more than one go."""
    # On SQLite this locks nothing, and need not: a transaction there is IMMEDIATE, so it is the only writer.
    list(
        TicketType.objects.select_for_update(no_key=True)
        .filter(pk__in=ids)
        .order_by("pk")
        .values_list("pk")
    )
