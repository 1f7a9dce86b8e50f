"""Recognize customers whose references were made with an earlier SECRET_KEY."""

from collections.abc import Sequence

from reservations.models import Reservation, WaitingEntry


def recognize_customer(*, customer: str, earlier: Sequence[str]) -> None:
    """Replace the customer's references from earlier keys by the current reference, so that limits still apply."""
    if not earlier:
        return
    for rows in (
        Reservation.objects.filter(customer__in=earlier),
        WaitingEntry.objects.filter(customer__in=earlier),
    ):
        # An update would take SQLite's write lock even if it changed nothing.
        if rows.exists():
            rows.update(customer=customer)
