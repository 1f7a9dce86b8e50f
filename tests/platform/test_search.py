"""Test the page that searches the whole portal, and the API that the command palette uses."""

import html
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from alerts.models import Person
from core.accounts.services.roles import ensure_roles
from core.clients import services
from core.clients.models import Scope
from core.jobs.services import sync_jobs
from core.lib.customers import pseudonym
from core.lib.search_sources import MAX_HITS
from errors.models import ErrorGroup, GroupUser
from reservations.services import reserve
from tests.factories import (
    make_alert,
    make_app,
    make_event,
    make_monitor,
    make_payment,
    make_ticket_type,
    wanted,
)

pytestmark = pytest.mark.django_db
API, PAGE = "/api/v1/search/", "/admin/search/"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("olivia"))
    return client


@pytest.fixture
def reader(client: Client) -> Client:
    ensure_roles()
    user = User.objects.create_user("reader", is_staff=True)
    user.groups.add(Group.objects.get(name="Read-only"))
    client.force_login(user)
    return client


def find(client: Client, text: str, **headers: str) -> dict[str, list[dict[str, Any]]]:
    response = client.get(API, {"q": text}, headers=headers)
    assert response.status_code == 200, response.content
    return {group["title"]: group["hits"] for group in response.json()["groups"]}


def titles(client: Client, text: str, group: str) -> list[str]:
    return [hit["title"] for hit in find(client, text).get(group, [])]


def test_each_kind_of_object_is_found_by_what_users_type(owner: Client) -> None:
    sync_jobs(timezone.now())
    make_app("ticket-shop", name="Ticket shop")
    alert = make_alert(title="Checkout is down")
    make_monitor("https://93.184.216.34/", title="Checkout page")
    make_event("summer-festival", name="Summer festival")
    payment = make_payment(order_id="1042", intent_id="pi_1042")
    User.objects.create_user("anna", first_name="Anna", last_name="Berg", is_staff=True)
    Person.objects.create(name="Anna Berg")

    assert titles(owner, "ticket sh", "Apps") == ["Ticket shop"]
    assert titles(owner, "checkout", "Alerts") == [alert.title]
    assert titles(owner, "checkout", "Monitoring") == ["Checkout page"]
    assert titles(owner, "festival", "Events") == ["Summer festival"]
    assert titles(owner, "1042", "Payments") == ["Order 1042"]
    assert titles(owner, "pi_1042", "Payments") == ["Order 1042"]
    assert titles(owner, str(payment.uuid), "Payments") == ["Order 1042"]
    assert titles(owner, "anna berg", "Users") == ["Anna Berg"]
    assert titles(owner, "anna berg", "People to notify") == ["Anna Berg"]
    assert titles(owner, "job runs", "Jobs") == ["Delete old job runs"]
    assert titles(owner, "routing", "Settings") == ["Routing"]
    assert titles(owner, "add monitor", "Actions") == ["Add monitor"]
    assert titles(owner, "payments", "Pages") == ["Payments"]


def test_a_reservation_is_found_by_its_order_and_by_its_id(owner: Client) -> None:
    order = wanted((make_ticket_type(5), 1), order_id="77")
    reservation = reserve(app=make_app(), wanted=order, now=timezone.now()).reservation

    assert titles(owner, "77", "Reservations") == ["Order 77"]
    assert titles(owner, str(reservation.uuid), "Reservations") == ["Order 77"]


def test_an_exact_match_moves_its_group_to_the_top(owner: Client) -> None:
    make_payment(order_id="alerts")

    assert next(iter(find(owner, "alerts"))) in ("Pages", "Payments")
    assert list(find(owner, "alerts"))[:2] == ["Pages", "Payments"]


def test_a_title_that_starts_with_the_query_moves_its_group_up(owner: Client) -> None:
    make_app("paddle-bus")  # Contains both words.

    assert list(find(owner, "paddle")) == ["Apps"]
    assert list(find(owner, "add us"))[:2] == ["Actions", "Apps"]


def test_each_group_shows_at_most_five_results(owner: Client) -> None:
    for number in range(MAX_HITS + 2):
        make_app(f"shop-{number}")

    assert len(find(owner, "shop")["Apps"]) == MAX_HITS


def test_results_lead_to_pages_that_open(owner: Client) -> None:
    sync_jobs(timezone.now())
    make_app("ticket-shop", name="Ticket shop")
    make_alert(title="Ticket sales stopped")
    make_event("ticket-fair", name="Ticket fair")
    make_payment(order_id="ticket")

    groups = find(owner, "ticket")

    assert {"Apps", "Alerts", "Events", "Payments", "Jobs"} <= set(groups)
    for hits in groups.values():
        for hit in hits:
            assert owner.get(hit["url"]).status_code == 200, hit


def test_readers_find_only_objects_that_they_may_see(reader: Client) -> None:
    make_app("shop")
    Person.objects.create(name="Shop keeper")
    User.objects.create_user("shop-owner")

    assert set(find(reader, "shop")) == {"Apps"}
    assert "Actions" not in find(reader, "add")


def test_a_key_finds_objects_that_the_read_only_role_may_see(client: Client) -> None:
    app = make_app("shop")
    Person.objects.create(name="Shop keeper")
    User.objects.create_user("shop-owner")
    _, secret = services.issue_api_key(app=app, scopes=[Scope.ADMIN])

    assert set(find(client, "shop", authorization=f"Bearer {secret}")) == {"Apps"}


def test_users_who_are_not_staff_need_a_key(client: Client) -> None:
    client.force_login(User.objects.create_user("visitor"))

    assert client.get(API, {"q": "shop"}).status_code == 401
    assert client.get(PAGE).status_code == 302


@pytest.mark.parametrize("text", ["", "  ", "%", "'", '"', "is:", "order:", "x" * 200])
def test_any_text_is_answered(owner: Client, text: str) -> None:
    find(owner, text)
    assert owner.get(PAGE, {"q": text}).status_code == 200


def test_a_text_that_is_too_long_is_refused(owner: Client) -> None:
    assert owner.get(API, {"q": "x" * 201}).status_code == 400


def test_only_get_is_allowed(owner: Client) -> None:
    assert owner.post(API, {"q": "x"}).status_code == 405


def test_the_page_shows_the_same_results_without_scripts(owner: Client) -> None:
    make_app("shop", name="Ticket <shop>")

    page = owner.get(PAGE, {"q": "ticket"}).content.decode()

    assert "Ticket &lt;shop&gt;" in page
    assert "No results" in owner.get(PAGE, {"q": str(uuid.uuid4())}).content.decode()


def test_silence_and_the_name_of_a_monitor_lead_to_a_filled_in_form(owner: Client) -> None:
    monitor = make_monitor("https://shop.example/", title="Public shop")

    [hit] = find(owner, "silence public")["Actions"]

    assert hit["title"] == "Silence Public shop for two hours"
    form = owner.get(hit["url"]).content.decode()
    assert f'value="{monitor.alert_key}"' in form
    assert 'value="Public shop"' in form
    page = owner.get(f"/admin/health/monitor/{monitor.pk}/change/").content.decode()
    assert html.escape(hit["url"].partition("testserver")[2]) in page


def test_readers_are_offered_no_silence(reader: Client) -> None:
    monitor = make_monitor("https://shop.example/", title="Public shop")

    assert "Actions" not in find(reader, "silence public")
    page = reader.get(f"/admin/health/monitor/{monitor.pk}/change/").content.decode()
    assert "/admin/alerts/silence/add/" not in page


@pytest.mark.parametrize("text", ["refund o-7", "Refund order o-7"])
def test_refund_and_an_order_id_lead_to_the_form_that_refunds_the_order(
    owner: Client, text: str
) -> None:
    payment = make_payment(order_id="o-7", amount=4500)
    make_payment(order_id="o-8", amount=4500)

    [hit] = find(owner, text)["Actions"]

    assert (hit["title"], hit["detail"]) == ("Refund order o-7", "45.00 EUR")
    assert hit["url"].endswith(f"/admin/payments/{payment.uuid}/refund/")
    assert "autofocus" in owner.get(hit["url"]).content.decode()


def test_a_refund_is_not_offered_to_readers_or_for_a_payment_without_money(
    reader: Client, owner: Client
) -> None:
    make_payment(order_id="o-7", amount=4500)
    make_payment(order_id="o-9", status="canceled", amount=4500, amount_received=0)

    assert "Actions" not in find(owner, "refund o-9")
    assert "Actions" not in find(owner, "refund")
    reader.force_login(User.objects.get(username="reader"))
    assert "Actions" not in find(reader, "refund o-7")


def test_the_errors_of_a_customer_are_found_by_e_mail_address(owner: Client) -> None:
    app = make_app("shop")
    group = ErrorGroup.objects.create(
        app=app, title="checkout failed", first_seen_at=timezone.now(), last_seen_at=timezone.now()
    )
    GroupUser.objects.create(group=group, user_key=pseudonym("ben@example.org"))

    [hit] = find(owner, "ben@example.org")["Errors of a user"]

    assert hit["detail"] == "1 error"
    assert "checkout failed" in owner.get(hit["url"]).content.decode()
    assert "Errors of a user" not in find(owner, "ann@example.org")


def test_the_errors_of_the_week_are_listed_by_cost(owner: Client) -> None:
    [hit] = find(owner, "errors by cost")["Pages"]

    assert owner.get(hit["url"]).status_code == 200
    assert "sort=risk" in hit["url"]
