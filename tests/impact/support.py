"""Help the tests of impact: create orders through the services, and read the figures of a group or an alert."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from alerts.models import SystemAlert
from alerts.queries.impact import alert_impact
from core.clients.models import ClientApp
from errors.models import ErrorEvent
from errors.queries import pages
from health.models import Latency, Series, Tier
from impact.queries.figures import Figures
from impact.services.catch_up import catch_up
from impact.states import State
from payments.models import Payment, Refund
from payments.services.apply import count_refunds
from reservations import services
from reservations.models import Reservation, TicketType
from tests.factories import make_app, make_payment, wanted

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def reserve(type_: TicketType, quantity: int = 1, *, now: datetime, **fields: Any) -> Reservation:
    app = fields.pop("app", None) or make_app()
    return services.reserve(
        app=app, wanted=wanted((type_, quantity), **fields), now=now
    ).reservation


def pay(reservation: Reservation, *, now: datetime, **fields: Any) -> Payment:
    """Pay for the reservation at once."""
    amount = sum(line.amount for line in reservation.lines.all())
    payment = make_payment(
        str(reservation.uuid),
        order_id=reservation.order_id,
        amount=amount,
        now=now,
        status_at=now,
        **fields,
    )
    services.complete_paid(payment=payment, now=now)
    return payment


@transaction.atomic
def refund(payment: Payment, amount: int, *, now: datetime) -> None:
    """Report a refund of a part of the payment like Stripe."""
    Refund.objects.create(
        payment=payment, amount=amount, state=Refund.State.SUCCEEDED, asked_at=now, settled_at=now
    )
    count_refunds(Payment.objects.select_for_update().get(pk=payment.pk), now=now)


def group_figures(event: ErrorEvent, now: datetime) -> Figures:
    return pages.group_impact(event.group, now=now).figures


def alert_figures(alert: SystemAlert, now: datetime | None = None) -> Figures:
    return alert_impact(alert, now=now or timezone.now()).figures


def amounts(figures: Figures) -> dict[str, dict[str, int]]:
    """Return the amounts by the name of the state, without states that have none."""
    return {state.value: dict(found) for state, found in figures.amounts.items() if found}


def shop(slug: str = "shop") -> ClientApp:
    return ClientApp.objects.filter(slug=slug).first() or make_app(slug)


def record_calls(
    app: ClientApp,
    name: str,
    durations_ms: Sequence[float],
    *,
    until: datetime,
    kind: str = "function",
    environment: str = "production",
    counts: Sequence[int] = (),
    failed_from: int | None = None,
) -> None:
    """Store the calls of the minutes before `until`: the mean duration of each minute, and how many calls it had.

    All calls fail from the minute with the number `failed_from` on.
    """
    series, _ = Series.objects.get_or_create(app=app, kind=kind, name=name, environment=environment)
    first = Tier.MINUTE.floor(until) - len(durations_ms) * MINUTE
    counts = counts or [10] * len(durations_ms)
    Latency.objects.bulk_create(
        Latency(
            series=series,
            tier=Tier.MINUTE,
            start=first + place * MINUTE,
            count=count,
            failed=count if failed_from is not None and place >= failed_from else 0,
            total_ms=mean * count,
            highest_ms=mean,
        )
        for place, (mean, count) in enumerate(zip(durations_ms, counts, strict=True))
    )


__all__ = ["MINUTE", "NOON", "State", "amounts", "catch_up", "pay", "refund", "reserve"]
