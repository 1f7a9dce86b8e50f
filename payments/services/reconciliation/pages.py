"""Read pages of Stripe's lists, and define constants that several comparisons share."""

from datetime import timedelta
from typing import Any

from payments import stripe_api
from payments.models import ReconciliationRun

OVERLAP = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=15)
SINGLE_BATCH_SIZE = 50  # Limits the number of intents that one step retrieves by their ids.


def read_page(
    run: ReconciliationRun, resource: str, **filters: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the next page of the objects created from `run.since` to `run.started_at`, and a new bookmark.

    The bookmark is "" if this is the last page.
    """
    page = stripe_api.read_page(
        resource, since=run.since, until=run.started_at, after=run.bookmark, **filters
    )
    return page.items, page.bookmark
