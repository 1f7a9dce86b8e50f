"""Read pages of Stripe's lists, with limits that all comparisons share."""

from datetime import timedelta
from typing import Any

from payments import stripe_api
from payments.models import ReconciliationRun

OVERLAP = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=15)
SINGLE_BATCH_SIZE = 50  # The maximum number of objects that one step requests by their ids.


def read_page(
    run: ReconciliationRun, resource: str, **filters: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the next page of the list since the run's start, and the bookmark after it, or "" after the last page."""
    page = stripe_api.read_page(
        resource, since=run.since, until=run.started_at, after=run.bookmark, **filters
    )
    return page.items, page.bookmark
