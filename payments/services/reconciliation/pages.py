"""Read pages of Stripe's lists, with limits that all comparisons share."""

from datetime import timedelta
from typing import Any

from payments import stripe_api
from payments.models import ReconciliationRun

OVERLAP = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=15)
SINGLE_BATCH_SIZE = 50  # One step retrieves at most this many objects by their ids.


def read_page(
    run: ReconciliationRun, resource: str, **filters: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the next page of the objects created between `run.since` and `run.started_at`, and a new bookmark.

    The bookmark identifies the following page. It is "" on the last page.
    """
    page = stripe_api.read_page(
        resource, since=run.since, until=run.started_at, after=run.bookmark, **filters
    )
    return page.items, page.bookmark
