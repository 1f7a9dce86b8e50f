"""Recognize customers after SECRET_KEY was rotated."""

from collections.abc import Sequence

from reservations.models import Reservation, WaitingEntry


def recognize_customer(*, customer: str, earlier: Sequence[str]) -> None:
    """Replace a customer's references under earlier keys by the current one, so that limits still apply."""
    if not earlier:
        return
    for rows in (
        Reservation.objects.filter(customer__in=earlier),
        WaitingEntry.objects.filter(customer__in=earlier),
    ):
        if rows.exists():  # An update takes SQLite's write lock even if it changes nothing.
            rows.update(customer=customer)
