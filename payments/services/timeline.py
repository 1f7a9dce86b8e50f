from datetime import datetime

from payments.models import Payment, TimelineEntry


def note(payment: Payment, what: str, detail: str = "", *, now: datetime) -> None:
    TimelineEntry.objects.create(payment=payment, at=now, what=what[:100], detail=detail[:300])
