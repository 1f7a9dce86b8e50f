"""Recognize customers whose references were computed with an earlier SECRET_KEY."""

from collections.abc import Sequence

from reservations.models import Reservation, WaitingEntry


def recognize_customer(*, customer: str, earlier: Sequence[str]) -> None:
    """Replace references computed with earlier keys by the current one, so that limits per customer still apply."""
    if not earlier:
        return
    for rows in (
        Reservation.objects.filter(customer__in=earlier),
        WaitingEntry.objects.filter(customer__in=earlier),
    ):
        # On SQLite, an update takes the write lock even if it changes nothing.
        if rows.exists():
            rows.update(customer=customer)
