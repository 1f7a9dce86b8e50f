from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.extension_points import Reading, Severity, alert_rule
from core.lib.forecasts import Outlook, Trend
from payments.models import PaymentStatus
from reservations.hooks.alert_types import LOW_INVENTORY
from reservations.models import Reservation, Status, TicketType
from reservations.queries.stock import forecast_sold_out


@alert_rule(
    "reservations.low_inventory",
    summary="Low ticket inventory",
    unit="above the alert level",
    threshold=0,
    below=True,
    window=timedelta(hours=6),
    severity=Severity.HIGH,
    alert_type=LOW_INVENTORY,
    runbook="docs/reservations.md#low-inventory",
)
def low_inventory(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield how far each ticket type on sale is above its low-inventory threshold, in tickets.

    Types with a capacity of 0 are left out, because their capacity is not decided yet.
    """
    on_sale = [
        type_
        for type_ in TicketType.objects.on_sale(until).select_related("event")
        if type_.capacity
    ]
    left = TicketType.objects.filter(pk__in=[type_.pk for type_ in on_sale]).available(until)
    trends = forecast_sold_out(on_sale, left, now=until)
    for type_ in on_sale:
        remaining = left[type_.pk]
        yield Reading(
            value=remaining - type_.low_at,
            labels=(("event", type_.event.slug), ("ticket_type", type_.name)),
            title=f"Low ticket inventory: {type_}",
            message=_describe(type_, remaining, trends[type_.pk]),
            metadata={"left": remaining, "capacity": type_.capacity, "alert_at": type_.low_at},
        )


def _describe(type_: TicketType, left: int, trend: Trend) -> str:
    if not left:
        return f"{type_}: sold out ({type_.capacity} tickets)"
    is_expected = trend.outlook is Outlook.EXPECTED
    forecast = f"; sold out {trend.text} at this pace" if is_expected else ""
    return f"{type_}: {left} of {type_.capacity} left{forecast}"


@alert_rule(
    "reservations.overdue_holds",
    summary="Expired holds not released",
    unit="holds",
    threshold=0,
    window=timedelta(minutes=10),
    severity=Severity.MEDIUM,
    alert_type="holds-overdue",
    runbook="docs/reservations.md#holds-are-not-released",
)
def overdue_holds(since: datetime, until: datetime) -> int:
    return Reservation.objects.overdue(until - timedelta(minutes=10)).count()


@alert_rule(
    "reservations.processing_too_long",
    summary="Holds that ended before their payment was processed",
    unit="reservations",
    threshold=0,
    window=timedelta(minutes=10),
    severity=Severity.HIGH,
    alert_type="processing-too-long",
    runbook="docs/reservations.md#a-payment-is-processed-for-too-long",
)
def processing_too_long(since: datetime, until: datetime) -> int:
    return Reservation.objects.filter(
        status=Status.EXPIRED, processing_payment__status=PaymentStatus.PROCESSING
    ).count()
