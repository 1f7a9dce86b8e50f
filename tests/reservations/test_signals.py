"""Test the alert rules, health check, metrics and dashboard widget of reservations."""

from datetime import timedelta
from typing import Any

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
from reservations.hooks.forecasts import sold_out
from reservations.hooks.health_checks import reservations as check
from reservations.hooks.metrics import tickets, totals
from reservations.models import Reservation, TicketType
from reservations.queries.stock import Stock, list_stock
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
    seated = on_sale_since(6, 100, event=event, name="Seated", low_inventory_threshold=20)
    make_ticket_type(100, event=event, name="Standing", low_inventory_threshold=20)
    sold_over(seated, 80, since=timedelta(hours=6))

    evaluate("reservations.low_inventory")

    alert = SystemAlert.objects.get()
    assert (alert.alert_type, alert.severity) == ("low-inventory", "high")
    assert "Seated: 20 of 100 left; sold out in 1 to 2 hours at this pace" in alert.message
    assert alert.title == f"Low ticket inventory: {seated}"


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


def sold_over(
    type_: TicketType, quantity: int, *, since: timedelta, until: timedelta = timedelta(0)
) -> None:
    """Sell `quantity` tickets one by one, evenly spread from `since` ago to `until` ago."""
    now = timezone.now()
    for number in range(quantity):
        sold(type_, 1)
        at = now - since + (number + 0.5) / quantity * (since - until)
        Reservation.objects.filter(pk=Reservation.objects.latest("pk").pk).update(ended_at=at)


def stock_of(type_: TicketType) -> Stock:
    [stock] = list_stock(TicketType.objects.filter(pk=type_.pk), now=timezone.now())
    return stock


def on_sale_since(hours: float, capacity: int, **fields: Any) -> TicketType:
    since = timezone.now() - timedelta(hours=hours)
    return make_ticket_type(capacity, sale_starts_at=since, **fields)


def test_a_steady_sale_is_expected_to_sell_out_at_its_pace() -> None:
    type_ = on_sale_since(6, 90)
    # At ten tickets an hour, thirty are left.
    sold_over(type_, 60, since=timedelta(hours=6))

    assert stock_of(type_).forecast in ("in about 3 hours", "in 165 to 195 min")
    assert stock_of(type_).is_selling_out


def test_a_rush_counts_more_than_the_calm_days_before_it() -> None:
    type_ = on_sale_since(100, 80)
    sold_over(type_, 5, since=timedelta(hours=100), until=timedelta(hours=1))
    sold_over(type_, 60, since=timedelta(hours=1))

    assert stock_of(type_).forecast == "in about 15 min"


def test_a_sale_that_has_just_begun_has_a_forecast_after_ten_minutes() -> None:
    type_ = on_sale_since(0.25, 50)
    # At two tickets a minute, twenty are left.
    sold_over(type_, 30, since=timedelta(minutes=15))

    assert stock_of(type_).forecast == "in about 10 min"


def test_a_sale_that_lasts_until_the_event_starts_says_so() -> None:
    type_ = on_sale_since(6, 100, event=make_event(starts_at=timezone.now() + timedelta(hours=2)))
    sold_over(type_, 12, since=timedelta(hours=6))

    assert stock_of(type_).forecast == "not before the event starts"


def test_too_few_sales_give_no_forecast() -> None:
    type_ = on_sale_since(6, 100)
    assert stock_of(type_).forecast == "not at this pace"

    sold_over(type_, 3, since=timedelta(hours=6))
    assert stock_of(type_).forecast == "not enough data"


def test_a_sold_out_type_has_no_forecast() -> None:
    type_ = on_sale_since(6, 5)
    sold(type_, 5)

    assert stock_of(type_).forecast == ""


def test_the_event_page_shows_when_tickets_sell_out(client: Client) -> None:
    type_ = on_sale_since(6, 66)
    sold_over(type_, 60, since=timedelta(hours=6))
    client.force_login(User.objects.create_superuser("owner"))

    page = client.get(reverse("reservations:event-page", args=[type_.event.slug])).content.decode()

    assert "at the pace of the last" in page
    [forecast] = sold_out(timezone.now())
    assert forecast.title == f"{type_} sold out"
    assert forecast.text in page
    assert "6 of 66 left" in forecast.basis


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


def test_the_system_health_page_shows_the_result_of_the_last_check(admin_client: Client) -> None:
    reserved(make_ticket_type())
    TicketType.objects.update(held=5)
    url = reverse("health:widget", args=["reservations.at_a_glance"])
    assert "inconsistent" not in admin_client.get(url).content.decode()

    services.check_integrity(now=timezone.now())

    assert "inconsistent" in admin_client.get(url).content.decode()


def test_only_types_that_are_running_low_are_forecast_for_the_system_health_page() -> None:
    low, plenty = on_sale_since(6, 66), on_sale_since(6, 900)
    for type_ in (low, plenty):
        sold_over(type_, 60, since=timedelta(hours=6))
    types = TicketType.objects.filter(pk__in=[low.pk, plenty.pk])

    stocks = {
        one.type: one for one in list_stock(types, now=timezone.now(), forecasts_only_low=True)
    }

    assert stocks[low].is_selling_out
    assert stocks[low].forecast == stock_of(low).forecast
    assert stocks[plenty].sold_out is None


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
    sold(make_ticket_type(2, name="Standing"), 2)
    make_ticket_type(0, name="Undecided")

    shown = client.get(reverse("health:widget", args=["reservations.at_a_glance"]))

    assert shown.status_code == 200
    text = " ".join(shown.content.decode().split())
    for expected in (
        "Seated: 4 of 10 left",
        "Standing: sold out",
        "of 3 ticket types on sale",
        "consistent",
        "Payments without matching seats",
    ):
        assert expected in text
    assert "Undecided" not in text


def test_the_low_inventory_alert_is_critical_once_the_type_is_sold_out() -> None:
    seated = make_ticket_type(10, low_inventory_threshold=5)
    sync_rules()
    AlertRule.objects.filter(name="reservations.low_inventory").update(critical_threshold=-5)

    sold(seated, 9)
    evaluate("reservations.low_inventory")
    assert SystemAlert.objects.get().severity == "high"
    sold(seated, 1)
    evaluate("reservations.low_inventory")

    assert SystemAlert.objects.get().severity == "critical"
