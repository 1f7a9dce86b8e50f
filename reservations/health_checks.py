from datetime import timedelta

from django.utils import timezone

from health.checks import Degraded, NotConfigured, health_check
from reservations.models import Event, Reservation
from reservations.queries.drift import find_drift

# R5: no active hold is older than its time plus the 5 minutes between two clean-ups.
TOO_LATE = timedelta(minutes=10)


@health_check("reservations", summary="Holds end in time and counters add up", timeout=4.0)
def reservations() -> str:
    if not Event.objects.exists():
        raise NotConfigured("no events")
    late = Reservation.objects.overdue(timezone.now() - TOO_LATE).count()
    if late:
        raise Degraded(f"{late} holds are overdue: the clean-up does not run")
    drift = find_drift()
    if drift:
        raise Degraded("; ".join(str(found) for found in drift[:3]))
    return "holds end in time, counters add up"
