from datetime import timedelta

from django.utils import timezone

from health.extension_points import Degraded, NotConfigured, health_check
from impact.references import References
from reservations.models import Event, Reservation
from reservations.queries.drift import find_drift

# The clean-up runs every 5 minutes. A hold that is overdue for two runs means that the clean-up has stopped.
OVERDUE_AFTER = timedelta(minutes=10)
MAX_REFERENCES = 1_000


def overdue_holds() -> References:
    """Return references to the overdue holds that expired first, at most MAX_REFERENCES."""
    overdue = Reservation.objects.overdue(timezone.now() - OVERDUE_AFTER).order_by("expires_at")
    found = overdue.values_list("uuid", flat=True)[:MAX_REFERENCES]
    return References(reservation_ids=frozenset(map(str, found)))


@health_check("reservations", summary="Reservations", timeout=4.0, references=overdue_holds)
def reservations() -> str:
    if not Event.objects.exists():
        raise NotConfigured("no events")
    overdue = Reservation.objects.overdue(timezone.now() - OVERDUE_AFTER).count()
    if overdue:
        raise Degraded(f"{overdue} holds are overdue: the clean-up is not running")
    drift = find_drift()
    if drift:
        raise Degraded("; ".join(str(found) for found in drift[:3]))
    return "no overdue holds, consistent counters"
