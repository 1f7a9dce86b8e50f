"""Build the parts of SQL that the statements for PostgreSQL and SQLite share.

The parts select the available ticket types, and insert reservations and their lines.
"""

from collections.abc import Sequence

from django.db.models import F
from django.db.models.expressions import RawSQL

from reservations.models.catalog import TicketTypeQuerySet

# Lists all columns of a new reservation that are not null, except `id`, which the database generates.
RESERVATION_COLUMNS = (
    "uuid",
    "app_id",
    "idempotency_key",
    "fingerprint",
    "status",
    "customer",
    "order_id",
    "request_id",
    "created_at",
    "expires_at",
    "extensions",
    "paid_elsewhere",
)
LINE_COLUMNS = ("reservation_id", "ticket_type_id", "quantity", "price", "currency")


def placeholder(text: str) -> RawSQL:
    """Return a placeholder of the database driver as an expression for a queryset."""
    return RawSQL(text, ())  # noqa: S611  the text is a constant of ours


def select_offers(types: TicketTypeQuerySet) -> str:
    """Return SQL that selects the ticket types that any customer may buy.

    The columns are the id, free tickets, price, currency and hold_minutes. Ticket types with a limit per customer, or
    with customers on their waiting list, are left out. `types` must contain placeholders instead of values.
    """
    offers = (
        types.filter(per_customer_limit=None, has_waiting_buyers=False)
        .annotate(free=F("capacity") - F("held") - F("sold"), hold_minutes=F("event__hold_minutes"))
        .values_list("id", "free", "price", "currency", "hold_minutes")
    )
    sql, values = offers.query.sql_with_params()
    if values:
        raise ValueError("the queryset contains values; use placeholder()")
    return sql


def insert_reservations(values: Sequence[str], *, source: str, returning: str) -> str:
    """Return SQL that inserts a reservation for each row of `source`.

    `values` are SQL expressions for RESERVATION_COLUMNS, in the same order. `returning` lists the returned columns. No
    reservation is inserted for an idempotency key that already exists.
    """
    return f"""
INSERT INTO reservations_reservation ({", ".join(RESERVATION_COLUMNS)})
SELECT {", ".join(values)} FROM {source}
ON CONFLICT (app_id, idempotency_key) DO NOTHING
RETURNING {returning}"""  # noqa: S608  all parts are constants of ours


def insert_lines(values: Sequence[str], *, source: str, returning: str) -> str:
    """Return SQL that inserts a line of a reservation for each row of `source`.

    `values` are SQL expressions for LINE_COLUMNS, in the same order. `returning` lists the returned columns.
    """
    return f"""
INSERT INTO reservations_line ({", ".join(LINE_COLUMNS)})
SELECT {", ".join(values)} FROM {source}
RETURNING {returning}"""  # noqa: S608  all parts are constants of ours
