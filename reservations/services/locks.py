from collections.abc import Iterable

from django.db import connection

from reservations.models import TicketType

LOCK_TIMEOUT = "3s"


def set_lock_timeout() -> None:
    """Limit how long statements of this transaction wait for a lock on PostgreSQL.

    SQLite needs no limit here, because it has a single writer and its own busy timeout.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def lock_ticket_types(ids: Iterable[int]) -> None:
    """Lock these rows by ascending id, before several statements change them in one transaction."""
    # On SQLite, this locks nothing. No lock is needed there, because an IMMEDIATE transaction is the only writer.
    list(
        TicketType.objects.select_for_update(no_key=True)
        .filter(pk__in=ids)
        .order_by("pk")
        .values_list("pk")
    )
