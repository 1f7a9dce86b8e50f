"""The alert rules, health check, metrics and dashboard widget of reservations."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import services as alerts
from alerts.models import AlertRule, SystemAlert
from alerts.services.defaults import sync_rules
from health.extension_points import Degraded, NotConfigured
from reservations import services
from reservations.hooks.alert_rules import low_inventory
from reservations.hooks.health_checks import reservations as check
from reservations.hooks.metrics import tickets, totals
from reservations.models import Reservation, TicketType
from reservations.queries.stock import time_until_sold_out
from tests.factories import make_app, make_event, make_ticket_type, wanted

pytestmark = pytest.mark.django_db


def reserved(type_: TicketType, quantity: int = 1, **fields: str) -> Reservation:
    made = services.reserve(
        app=make_app(), wanted=wanted((type_, quantity), **fields), now=timezone.now()
    )
    return made.reservation


def sold(type_: TicketType, quantity: int) -> None:
    services.complete(
        reservation=reserved(type_, quantity), paid_elsewhere="desk", now=timezone.now()
    )


def evaluate(name: str) -> None:
    sync_rules()
    alerts.evaluate_rule(name, now=timezone.now())


def test_low_inventory_raises_an_alert_per_ticket_type_with_a_forecast() -> None:
    event = make_event("gala")
    seated = make_ticket_type(100, event=event, name="Seated", low_inventory_threshold=20)
    make_ticket_type(100, event=event, name="Standing", low_inventory_threshold=20)
    sold(seated, 80)

    evaluate("reservations.low_inventory")

    alert = SystemAlert.objects.get()
    assert (alert.alert_type, alert.severity) == ("low-inventory", "high")
    assert "Seated: 20 of 100 left; sold out in about 1 h 30 min at this pace" in alert.message


def test_a_low_inventory_alert_is_resolved_when_tickets_are_released() -> None:
    seated = make_ticket_type(10, low_inventory_threshold=5)
    reservation = reserved(seated, 6)
    evaluate("reservations.low_inventory")
    assert SystemAlert.objects.get().state == "open"

    services.cancel(reservation=reservation, now=timezone.now())
    for minute in range(1, 6):
        alerts.evaluate_rule(
            "reservations.low_inventory", now=timezone.now() + timedelta(minutes=minute)
        )

    assert SystemAlert.objects.get().state == "resolved"


def test_types_that_are_not_on_sale_are_not_low() -> None:
    past = timezone.now() - timedelta(days=1)
    make_ticket_type(0)
    make_ticket_type(10, event=make_event(is_on_sale=False), low_inventory_threshold=10)
    make_ticket_type(10, event=make_event(starts_at=past), low_inventory_threshold=10)
    make_ticket_type(10, sale_ends_at=past, low_inventory_threshold=10)

    assert list(low_inventory(timezone.now(), timezone.now())) == []  # type: ignore[arg-type]


def test_the_default_low_inventory_threshold_is_a_tenth_of_the_capacity() -> None:
    assert make_ticket_type(200).low_at == 20


@pytest.mark.parametrize(
    ("left", "sold_", "lasts"), [(0, 5, 0), (10, 0, None), (30, 60, 3), (60, 60, 6)]
)
def test_the_forecast_is_the_pace_of_the_last_six_hours(
    left: int, sold_: int, lasts: int | None
) -> None:
    assert time_until_sold_out(left, sold_) == (None if lasts is None else timedelta(hours=lasts))


def test_overdue_holds_raise_an_alert() -> None:
    reserved(make_ticket_type())
    Reservation.objects.update(expires_at=timezone.now() - timedelta(minutes=11))

    evaluate("reservations.overdue_holds")

    assert SystemAlert.objects.get().alert_type == "holds-overdue"


def test_the_health_check_names_the_problem() -> None:
    with pytest.raises(NotConfigured):
        check()

    standing = make_ticket_type()
    reserved(standing)
    assert check() == "no overdue holds, consistent counters"

    TicketType.objects.update(held=5)
    with pytest.raises(Degraded, match="held 5, expected 1"):
        check()
    Reservation.objects.update(expires_at=timezone.now() - timedelta(minutes=11))
    with pytest.raises(Degraded, match="clean-up is not running"):
        check()


def test_drift_raises_one_critical_alert_until_it_is_corrected() -> None:
    reserved(make_ticket_type())
    TicketType.objects.update(held=5)

    for _ in range(2):
        services.check_integrity(now=timezone.now())
    assert SystemAlert.objects.get().severity == "critical"

    TicketType.objects.update(held=1)
    services.check_integrity(now=timezone.now())
    assert SystemAlert.objects.get().state == "resolved"


def test_metrics_count_reservations_and_tickets() -> None:
    standing = make_ticket_type(10, event=make_event("gala"), name="Standing")
    sold(standing, 3)
    reserved(standing, 2)

    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in (*totals(), *tickets())
        for sample in family.samples
    }

    assert samples["opsportal_reservations_total", "completed"] == 1
    assert samples["opsportal_tickets", "gala", "Standing", "capacity"] == 10
    assert samples["opsportal_tickets", "gala", "Standing", "sold"] == 3
    assert samples["opsportal_tickets", "gala", "Standing", "left"] == 5


def test_the_widget_shows_types_that_are_running_low() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    seated = make_ticket_type(10, name="Seated", low_inventory_threshold=5)
    sold(seated, 6)

    shown = client.get(reverse("health:widget", args=["reservations.at_a_glance"]))

    assert shown.status_code == 200
    for expected in ("Seated: 4 of 10 left", "consistent", "Payments without matching seats"):
        assert expected in shown.content.decode()


def test_low_inventory_is_critical_once_it_is_sold_out() -> None:
    seated = make_ticket_type(10, low_inventory_threshold=5)
    sync_rules()
    AlertRule.objects.filter(name="reservations.low_inventory").update(critical_threshold=-5)

    sold(seated, 9)
    evaluate("reservations.low_inventory")
    assert SystemAlert.objects.get().severity == "high"
    sold(seated, 1)
    evaluate("reservations.low_inventory")

    assert SystemAlert.objects.get().severity == "critical"
