from collections.abc import Iterable

from django.db import connection

from reservations.models import TicketType

LOCK_TIMEOUT = "3s"


def set_lock_timeout() -> None:
    """Limit the time that this transaction waits for a lock. SQLite has a single writer and its own busy timeout."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def lock_ticket_types(ids: Iterable[int]) -> None:
    """Lock these rows by ascending id, for a transaction that changes several types in several statements."""
    # This locks nothing on SQLite, where a transaction is IMMEDIATE and therefore the only writer.
    list(
        TicketType.objects.select_for_update(no_key=True)
        .filter(pk__in=ids)
        .order_by("pk")
        .values_list("pk")
    )
