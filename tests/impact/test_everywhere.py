"""Test that figures are the same in lists, messages, the health page, the report, metrics and the API."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.channels import TRANSPORTS, Message
from alerts.channels.base import MessageKind
from alerts.hooks.report_sections import cost_of_the_week
from alerts.models import SystemAlert
from alerts.queries.impact import alert_impact
from core.clients.models import ApiKey, Scope
from errors.models import ErrorEvent
from health.hooks.metrics import impact as metrics
from health.models import Incident
from impact.models import WinBackEntry, WinBackList
from impact.references import References
from reservations import services
from tests.errors.stored import make_error
from tests.factories import (
    make_alert,
    make_app,
    make_component,
    make_payment,
    make_ticket_type,
)
from tests.impact.support import reserve, shop

pytestmark = pytest.mark.django_db
SENTENCE = "2 orders, 45.00 EUR at risk, 45.00 EUR lost"
ESTIMATE = "Probably missing: 3 orders (1 to 5) worth 135.00 EUR (45.00 EUR to 225.00 EUR)."


@pytest.fixture
def browse() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def event() -> ErrorEvent:
    """Create an error whose events named two orders: one at risk and one lost."""
    now = timezone.now()
    type_ = make_ticket_type(price=4500)
    make_error(shop(), group="g", order_ref="o-risk", received_at=now - timedelta(minutes=2))
    event = make_error(
        shop(), group="g", order_ref="o-lost", received_at=now - timedelta(minutes=2)
    )
    reserve(type_, now=now - timedelta(minutes=3), order_id="o-risk", customer="u-risk")
    lost = reserve(type_, now=now - timedelta(minutes=3), order_id="o-lost", customer="u-lost")
    services.cancel(reservation=lost, now=now - timedelta(minutes=1))
    return event


def alert_about(*orders: str, **fields: Any) -> SystemAlert:
    now = timezone.now() - timedelta(minutes=2)
    return make_alert(references=References(order_ids=frozenset(orders)), now=now, **fields)


def test_groups_are_sorted_and_filtered_by_money_at_risk(browse: Client, event: ErrorEvent) -> None:
    make_error(shop(), group="harmless", title="Nothing lost")
    make_payment(order_id="o-big", amount=99900, status="processing")
    make_payment(order_id="o-yen", amount=500, currency="JPY", status="processing")
    big = make_error(shop(), group="big", title="Much lost", order_ref="o-big")
    yen = make_error(shop(), group="yen", title="Yen lost", order_ref="o-yen")

    def listed(query: str) -> list[int]:
        page = browse.get(reverse("errors:group-list") + query)
        return [row["group"].pk for row in page.context["rows"]]

    assert listed("?sort=risk") == [big.group_id, event.group_id, yen.group_id]
    assert set(listed("?q=is:at-risk")) == {big.group_id, event.group_id, yen.group_id}
    page = browse.get(reverse("errors:group-list")).content.decode()
    assert "999.00 EUR" in page
    assert "500 JPY" in page


def test_the_currency_of_most_groups_determines_their_order(browse: Client) -> None:
    for order, amount, currency in (("o-1", 900, "EUR"), ("o-2", 500, "USD"), ("o-3", 700, "USD")):
        make_payment(order_id=order, amount=amount, currency=currency, status="processing")
        make_error(shop(), group=order, order_ref=order)

    page = browse.get(reverse("errors:group-list") + "?sort=risk").content.decode()

    places = [page.index(text) for text in ("7.00 USD", "5.00 USD", "9.00 EUR")]
    assert places == sorted(places)


def test_every_channel_shows_the_orders() -> None:
    from alerts.channels import (
        apprise,
        discord,
        email,
        pagerduty,
        slack,
        sms,
        teams,
        telegram,
        webhook,
    )

    message = Message(
        kind=MessageKind.TRIGGERED,
        title="Down",
        text="Text",
        impact=SENTENCE,
        estimate=ESTIMATE,
        at=timezone.now(),
    )
    mail = email.build_email(message, sender="", key="key")
    build: dict[str, Callable[[], object]] = {
        "email": lambda: mail.body,
        "webhook": lambda: webhook.build_body(message, "key"),
        "slack": lambda: slack.build_blocks(message),
        "discord": lambda: discord.build_embed(message),
        "teams": lambda: teams.build_card(message),
        "telegram": lambda: telegram.build_html(message),
        "sms": lambda: sms.build_segment(message),
        "apprise": lambda: apprise.build_body(message),
        "pagerduty": lambda: pagerduty.build_event(message, "key"),
    }

    assert set(build) == set(TRANSPORTS) - {"voice"}  # A voice call does not mention the impact.
    assert SENTENCE in str(mail.alternatives)
    for kind, message_of in build.items():
        assert SENTENCE in str(message_of()), kind
        # A text message is too short for the estimate.
        assert (ESTIMATE in str(message_of())) == (kind != "sms"), kind


def test_the_health_page_shows_the_figures_of_the_alert_page(
    browse: Client, event: ErrorEvent
) -> None:
    alert = alert_about("o-risk", "o-lost")

    widget = browse.get(reverse("health:widget", args=["health.verdict"])).content.decode()
    page = browse.get(alert.get_absolute_url()).content.decode()

    assert SENTENCE in widget
    assert SENTENCE in page


def test_an_alert_without_affected_orders_shows_no_amount(
    browse: Client, event: ErrorEvent
) -> None:
    make_alert(title="Gate 49 does not answer")

    widget = browse.get(reverse("health:widget", args=["health.verdict"])).content.decode()

    assert "Gate 49 does not answer" in widget
    assert "EUR" not in widget


def test_a_rule_on_errors_counts_the_orders_of_their_groups(event: ErrorEvent) -> None:
    from alerts import services as alerts
    from alerts.models import AlertRule
    from alerts.services.defaults import sync_rules

    sync_rules()
    AlertRule.objects.filter(name="errors.high").update(threshold=0)
    alerts.evaluate_rule("errors.high", now=timezone.now())

    alert = SystemAlert.objects.get(rule__name="errors.high")
    assert alert_impact(alert, now=timezone.now()).sentence == SENTENCE


def test_the_rule_on_failed_requests_counts_the_orders_of_the_app_that_it_names(
    event: ErrorEvent,
) -> None:
    from alerts.models import AlertRule
    from alerts.services.defaults import sync_rules

    sync_rules()
    type(event.app).objects.filter(pk=event.app_id).update(name="Our shop")
    alert = make_alert(rule=AlertRule.objects.get(name="errors.rate"), labels={"app": "Our shop"})

    assert alert_impact(alert, now=timezone.now()).sentence == SENTENCE


def test_an_incident_has_the_orders_of_its_alerts(browse: Client, event: ErrorEvent) -> None:
    component = make_component("payments")
    alert_about("o-risk", key=component.alert_key)
    incident = Incident.objects.create(
        title="Payments are down",
        component=component,
        started_at=timezone.now() - timedelta(minutes=10),
    )

    page = browse.get(reverse("admin:health_incident_change", args=[incident.pk]))

    assert "1 order, 45.00 EUR at risk" in page.content.decode()


def test_the_weekly_report_states_the_cost_of_problems(event: ErrorEvent) -> None:
    now = timezone.now()

    facts = {fact.label: fact.value for fact in cost_of_the_week(now - timedelta(days=7), now)}

    assert facts == {"At risk": "1 order, 45.00 EUR", "Lost": "1 order, 45.00 EUR"}


def test_the_metrics_have_the_same_figures(event: ErrorEvent) -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics()
        for sample in family.samples
    }

    assert samples["opsportal_impact_orders", "at_risk"] == 1
    assert samples["opsportal_impact_amount", "lost", "EUR"] == 4500
    assert samples["opsportal_impact_orders", "recovered"] == 0


def test_the_api_returns_the_figures(client: Client, event: ErrorEvent) -> None:
    _, secret = ApiKey.issue(app=make_app(), scopes=[str(Scope.ADMIN)], label="t")
    headers = {"Authorization": f"Bearer {secret}"}

    answer = client.get(f"/api/v1/impact/group/{event.group_id}/", headers=headers)

    body = answer.json()
    assert (answer.status_code, body["summary"], body["is_complete"]) == (200, SENTENCE, True)
    assert body["states"] == [
        {"state": "at_risk", "orders": 1, "seats": 1, "amounts": {"EUR": 4500}},
        {"state": "lost", "orders": 1, "seats": 1, "amounts": {"EUR": 4500}},
    ]
    assert body["estimate"] is None
    for path in ("/api/v1/impact/group/999/", "/api/v1/impact/nothing/1/"):
        assert client.get(path, headers=headers).status_code == 404


def test_the_page_of_orders_links_to_each_payment_and_reservation(
    browse: Client, event: ErrorEvent
) -> None:
    page = browse.get(reverse("impact:orders", args=["group", event.group_id]))
    lost = browse.get(reverse("impact:orders", args=["group", event.group_id]) + "?state=lost")

    assert {row.order_id for row in page.context["rows"]} == {"o-risk", "o-lost"}
    assert [row.order_id for row in lost.context["rows"]] == ["o-lost"]
    [record] = lost.context["rows"][0].records
    assert record.url in lost.content.decode()


def test_only_other_pages_link_to_all_affected_orders(browse: Client, event: ErrorEvent) -> None:
    alert = alert_about("o-risk")
    orders = reverse("impact:orders", args=["alert", alert.pk])

    assert "All affected orders" in browse.get(alert.get_absolute_url()).content.decode()
    assert "All affected orders" not in browse.get(orders).content.decode()


def test_orders_are_downloaded_as_csv_without_formulas(browse: Client) -> None:
    make_payment(order_id="=1+1", customer="@u", amount=123450, status="processing")
    event = make_error(shop(), order_ref="=1+1")

    answer = browse.get(reverse("impact:orders-csv", args=["group", event.group_id]))

    header, line = b"".join(answer).decode().splitlines()
    assert header.startswith("order,state,customer,amount,currency")
    assert line.startswith("'=1+1,at risk,'@u,1234.50,EUR,0,")


@pytest.mark.parametrize(
    "customer",
    [
        '=HYPERLINK("http://x.example","a")',
        "@SUM(1)",
        "+1",
        "-1",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\uff1d1",
    ],
)
def test_a_list_of_buyers_has_no_formulas(browse: Client, customer: str) -> None:
    written = WinBackList.objects.create(
        title="t", kind="group", problem=1, created_at=timezone.now()
    )
    for name in (customer, "plain-1"):
        WinBackEntry.objects.create(
            list=written, order_key=f"order:{name}", customer=name, amount=4500, currency="EUR",
            seats=1,
        )  # fmt: skip

    answer = browse.get(reverse("impact:list-csv", args=[written.pk]))

    rows = list(csv.reader(io.StringIO(b"".join(answer).decode(), newline="")))
    assert rows[1][:3] == [f"'{customer}", f"'{customer}", "45.00"]
    assert rows[2][:2] == ["plain-1", "plain-1"]


def test_resolving_a_group_with_a_list_records_its_lost_orders(
    browse: Client, event: ErrorEvent
) -> None:
    answer = browse.post(
        reverse("errors:group-act", args=[event.group_id]),
        {"action": "resolve_and_list"},
        follow=True,
    )

    assert "1 lost order is listed" in answer.content.decode()
    [entry] = WinBackEntry.objects.all()
    assert (entry.customer, entry.amount, entry.currency) == ("u-lost", 4500, "EUR")
    page = browse.get(reverse("impact:list", args=[entry.list_id])).content.decode()
    assert "u-lost" in page
    lines = b"".join(browse.get(reverse("impact:list-csv", args=[entry.list_id])))
    assert b"o-lost,u-lost,45.00,EUR,1," in lines


def test_a_list_contains_every_lost_order_once_with_its_seats(
    browse: Client, event: ErrorEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.services.win_back.CHUNK_SIZE", 2)
    now = timezone.now()
    for number in range(4):
        for currency in ("EUR", "USD"):
            hold = reserve(
                make_ticket_type(currency=currency),
                now=now - timedelta(minutes=3),
                order_id=f"o-{number}",
                customer=f"u-{number}",
            )
            services.cancel(reservation=hold, now=now - timedelta(minutes=1))
        make_error(
            shop(), group="g", order_ref=f"o-{number}", received_at=now - timedelta(minutes=2)
        )

    browse.post(reverse("impact:write-list", args=["group", event.group_id]))

    listed = WinBackEntry.objects.exclude(customer="u-lost")
    assert listed.count() == 8
    assert sorted(listed.values_list("customer", "seats")) == [
        (f"u-{number}", seats) for number in range(4) for seats in (0, 2)
    ]


def test_an_expired_hold_is_not_at_risk_in_the_list(browse: Client) -> None:
    now = timezone.now()
    reserve(make_ticket_type(price=4500), now=now - timedelta(hours=1), order_id="o-1")
    make_error(shop(), order_ref="o-1", received_at=now - timedelta(minutes=59))

    page = browse.get(reverse("errors:group-list") + "?sort=risk").content.decode()

    assert "45.00 EUR" not in page


def test_an_alert_can_also_be_resolved_with_a_list(browse: Client, event: ErrorEvent) -> None:
    alert = alert_about("o-lost")

    browse.post(reverse("alerts:alert-act", args=[alert.pk]), {"action": "resolve_and_list"})

    alert.refresh_from_db()
    assert alert.state == "resolved"
    assert WinBackEntry.objects.get().customer == "u-lost"


@pytest.mark.parametrize("name", ["orders", "orders-csv", "list", "list-csv"])
def test_pages_require_permission(name: str, event: ErrorEvent) -> None:
    written = WinBackList.objects.create(
        title="t", kind="group", problem=event.group_id, created_at=timezone.now()
    )
    client = Client()
    client.force_login(User.objects.create_user("eve", is_staff=True))
    arguments = [written.pk] if name.startswith("list") else ["group", event.group_id]

    assert client.get(reverse(f"impact:{name}", args=arguments)).status_code == 403
