"""Run the shop, and compare the cases that the portal opens with the faults that were injected."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from alerts.models import SystemAlert
from payments.models import Dispute, Mismatch, Payment, WebhookEvent
from reservations.models import Discrepancy
from reservations.queries.drift import find_drift
from tests.payments.month.buyers import Order
from tests.payments.month.clock import DAY, HOUR, MINUTE
from tests.payments.month.faults import (
    ALERTS,
    CONNECTION_ALERTS,
    FAULTS,
    OUTAGE_ALERTS,
    plan_faults,
)
from tests.payments.month.shop import OUTAGE, Shop
from tests.payments.stripe_double import StripeDouble

AFTERMATH_DAYS = 7  # Days without new orders in which all cases must end.


@dataclass(frozen=True)
class Report:
    orders: int
    faults: Counter[str]
    cases: Counter[str]
    alerts: Counter[str]
    # Cases without a fault, faults without a case, and alerts that no fault explains, each as a line of text.
    wrong: list[str]
    open: list[str]  # Cases and alerts that have not ended.


def run_shop(
    double: StripeDouble,
    *,
    start: datetime,
    days: int,
    orders_per_day: int,
    fault_share: float,
    tick: timedelta = 5 * MINUTE,
    outage_after: timedelta | None = None,
    seed: int = 1,
) -> Report:
    """Run the shop for `days` days, and for another week without new orders, in which all cases must end."""
    shop = Shop(double, start=start, tick=tick, seed=seed)
    plan = plan_faults(days * orders_per_day, fault_share, shop.random)
    for number, fault in enumerate(plan):
        delay = DAY * (number / orders_per_day)
        shop.clock.at(delay, partial(shop.buyers.take_order, fault))
    shop.clock.at(outage_after or DAY * (days / 2), shop.start_outage)
    shop.run(start + DAY * (days + AFTERMATH_DAYS))
    return make_report(shop)


def make_report(shop: Shop) -> Report:
    """Return a report that compares the cases and alerts with the injected faults."""
    cases: dict[int, list[str]] = {}
    by_intent = {id_: one for one in shop.buyers.orders for id_ in one.intent_ids}
    found = [
        *Discrepancy.objects.values_list("payment__intent_id", "kind"),
        *Mismatch.objects.filter(healed=False).values_list("intent_id", "kind"),
    ]
    unknown = []
    for intent_id, kind in found:
        order = by_intent.get(intent_id or "")
        if order is None:
            unknown.append(f"{kind} of {intent_id}")
        else:
            cases.setdefault(order.number, []).append(kind)
    wrong = [
        f"{one.fault or 'no fault'}: expected {FAULTS.get(one.fault) or 'no case'}, got {got}"
        for one in shop.buyers.orders
        if (got := cases.get(one.number, [])) != [kind for kind in [FAULTS.get(one.fault)] if kind]
    ]
    open_ = [
        *map(str, Discrepancy.objects.open()),
        *map(str, Mismatch.objects.open()),
        *map(str, SystemAlert.objects.active().values_list("title", flat=True)),
        *map(str, Dispute.objects.open()),
        *map(str, WebhookEvent.objects.dead()),
        *map(str, find_drift()),
    ]
    return Report(
        orders=len(shop.buyers.orders),
        faults=Counter(one.fault for one in shop.buyers.orders if one.fault),
        cases=Counter(kind for _, kind in found),
        alerts=Counter(SystemAlert.objects.values_list("alert_type", flat=True)),
        wrong=[*unknown, *wrong, *find_false_alerts(shop), *shop.unexpected],
        open=open_,
    )


def find_false_alerts(shop: Shop) -> list[str]:
    """Return the alerts that no fault explains, and those that were raised more than once."""
    by_id: dict[str, Order] = {}
    for order in shop.buyers.orders:
        payments = Payment.objects.filter(intent_id__in=order.intent_ids)
        for id_ in (*order.intent_ids, *map(str, payments.values_list("uuid", flat=True))):
            by_id[id_] = order
    wrong, raised = [], Counter[tuple[str, int]]()
    for alert in SystemAlert.objects.order_by("pk"):
        ids = [*alert.references.get("payment_ids", ()), alert.metadata.get("payment_id")]
        about = next((by_id[id_] for id_ in ids if id_ in by_id), None)
        if alert.alert_type in CONNECTION_ALERTS or about is None:
            is_explained = _is_explained(shop, alert)
        else:
            is_explained = alert.alert_type in ALERTS.get(about.fault, ())
            raised[alert.key, about.number] += 1 + alert.reopen_count
        if not is_explained:
            fault = about.fault if about else "no order"
            wrong.append(f"false alert at {alert.opened_at}, {fault}: {alert.title}")
    wrong += [f"{count} alerts: {key}" for (key, _), count in raised.items() if count > 1]
    return wrong


def _is_explained(shop: Shop, alert: SystemAlert) -> bool:
    fault = CONNECTION_ALERTS.get(alert.alert_type)
    if any(order.fault == fault for order in shop.buyers.orders):
        return True
    started = shop.outage_from
    was_down = started is not None and started <= alert.opened_at <= started + OUTAGE + HOUR
    return was_down and alert.alert_type in OUTAGE_ALERTS
