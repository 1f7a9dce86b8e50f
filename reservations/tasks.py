from django.utils import timezone

from core.lib.schedules import every
from reservations import services


@every(minutes=5, title="Release expired holds")
def release_expired() -> dict[str, int]:
    """Extend holds during outages, release all other expired holds, and record partial payments that got no seats."""
    now = timezone.now()
    services.extend_during_outage(now=now)
    released = services.release_expired(now=now)
    services.review_partial_payments(now=now)
    return {"reservations": released.reservation_count, "seats": released.seat_count}


@every(minutes=1, title="Extend holds in outages")
def extend_during_outage() -> dict[str, int]:
    """Extend holds while the payment provider is unavailable."""
    return {"extended": services.extend_during_outage(now=timezone.now())}


@every(minutes=1, title="Continue cancellations")
def continue_cancellations() -> dict[str, int]:
    """Refund and release the reservations of cancelled events."""
    return {"reservations": services.continue_cancellations(now=timezone.now())}


@every(minutes=1, title="Offer returned tickets")
def offer_tickets() -> dict[str, int]:
    """Offer available tickets to the customers on waiting lists."""
    return {"offers": services.offer_tickets(now=timezone.now())}


@every(minutes=15, title="Check ticket counters")
def check_integrity() -> str:
    """Compare the counters of ticket types with their reservations, and alert if they differ."""
    drift = services.check_integrity(now=timezone.now())
    return "; ".join(str(found) for found in drift) or "no drift"
