"""Declare how long payments and events from Stripe are kept."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from core.lib.retention import Kept, keeps


@keeps("payments")
def kept() -> Iterator[Kept]:
    yield Kept(
        "Payments", "no time limit", note="The customer is removed when the person is erased."
    )
    yield Kept("Description and metadata of a payment", "until the payment is finished")
    days = timedelta(days=settings.WEBHOOK_EVENT_DAYS)
    yield Kept(
        "Processed events from Stripe", days, "WEBHOOK_EVENT_DAYS", "They contain no personal data."
    )
