"""Create orders through the services, and read the figures of a group or an alert."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from alerts.models import SystemAlert
from alerts.queries.impact import alert_impact
from core.clients.models import ClientApp
from core.lib.customers import PREFIX, pseudonym
from errors.models import ErrorEvent
from errors.queries import pages
from health.models import Latency, Series, Tier
from impact.models import ProblemReference, WinBackEntry, WinBackList
from impact.queries.figures import Figures
from impact.services.catch_up import catch_up
from impact.states import State
from payments.models import Payment, Refund
from payments.services.apply import count_refunds
from reservations import services
from reservations.models import Reservation, TicketType
from tests.errors.stored import make_error
from tests.factories import make_app, make_payment, make_ticket_type, wanted

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def reserve(type_: TicketType, quantity: int = 1, *, now: datetime, **fields: Any) -> Reservation:
    app = fields.pop("app", None) or make_app()
    return services.reserve(
        app=app, wanted=wanted((type_, quantity), **fields), now=now
    ).reservation


def pay(reservation: Reservation, *, now: datetime, **fields: Any) -> Payment:
    """Create a successful payment of the reservation's full price."""
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
    """Record a partial refund of the payment, as if Stripe had reported it."""
    Refund.objects.create(
        payment=payment, amount=amount, state=Refund.State.SUCCEEDED, asked_at=now, settled_at=now
    )
    count_refunds(Payment.objects.select_for_update().get(pk=payment.pk), now=now)


def group_figures(event: ErrorEvent, now: datetime) -> Figures:
    return pages.group_impact(event.group, now=now).figures


def alert_figures(alert: SystemAlert, now: datetime | None = None) -> Figures:
    return alert_impact(alert, now=now or timezone.now()).figures


def amounts(figures: Figures) -> dict[str, dict[str, int]]:
    """Return the amounts by state and currency. States without an amount are left out."""
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
    """Store calls for each minute before `until`, oldest first, with their mean durations and their counts.

    All calls fail from the minute with the index `failed_from` onward.
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


def buy_everything(customer: str, now: datetime) -> None:
    """Let a customer buy, hold and wait for tickets, and lose an order that staff put on a win-back list."""
    type_ = make_ticket_type(1, price=4500, has_waiting_list=True)
    paid = reserve(type_, now=now, order_id="o-paid", customer=customer)
    pay(paid, now=now, customer=customer)
    services.join(
        app=make_app(), ticket_type=type_.pk, quantity=1, customer=customer, order_id="", now=now
    )
    reserve(make_ticket_type(), now=now, order_id="o-held", customer=customer)
    user = pseudonym(customer) if customer.startswith(PREFIX) else customer
    make_error(shop(), group="g", order_ref="o-lost", user_key=user, received_at=now)
    # This error names no order, so it is linked to the orders of its user.
    make_error(shop(), group="u", user_key=user, received_at=now)
    lost = reserve(make_ticket_type(), now=now - MINUTE, order_id="o-lost", customer=customer)
    services.cancel(reservation=lost, now=now + MINUTE)
    catch_up(seconds=20)
    ProblemReference.objects.create(
        ref_kind="user", value=user, kind="group", problem=7, hour=0, first_at=now, last_at=now
    )
    WinBackEntry.objects.create(
        list=WinBackList.objects.create(title="t", kind="group", problem=1, created_at=now),
        order_key="order:o-lost",
        customer=customer,
        amount=4500,
        currency="EUR",
        seats=1,
    )
