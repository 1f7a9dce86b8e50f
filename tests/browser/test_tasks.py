"""Test that staff can do ten tasks by mouse or by keyboard alone with no more effort than docs/look.md states.

Run with -s to print the rows of the table in docs/look.md.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.hands import Keyboard, Mouse
from tests.browser.shop import call, pay, start_payment
from tests.payments.stripe_double import StripeDouble
from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import Portal

LOOK = Path(__file__).resolve().parent.parent.parent / "docs" / "look.md"
HOME = "/admin/system-health/"
CUSTOMER = "ben@example.org"
MAX_CLICKS = 6
Hand = Mouse | Keyboard


@pytest.fixture(scope="module")
def shop(
    portal_template: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Portal, StripeDouble]]:
    """Start a portal during an incident, with a paid order and an order that critical errors interrupted."""
    from tests.conftest import _portal_redis

    slack, double = FakeHTTP(), StripeDouble()
    slack.default.body = b"ok"
    portal = Portal(
        portal_template,  # type: ignore[arg-type]
        tmp_path_factory.mktemp("portal"),
        redis_url=_portal_redis(),
        environment={
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_API_BASE": double.base,
            "STRIPE_WEBHOOK_SECRETS": double.secret,
            "SLACK_WEBHOOK_URL": f"{slack.url}/services/T/B/x",
        },
    )
    portal.start()
    portal.start_worker()
    _set_up(portal, double)
    yield portal, double
    portal.stop()
    double.close()
    slack.close()


def _set_up(portal: Portal, double: StripeDouble) -> None:
    portal.manage(
        "shell",
        "-c",
        "from tests.factories import *\n"
        "make_ticket_type(40, event=make_event('gala'), name='Day ticket', price=4500)\n"
        "make_monitor('https://shop.example/', title='Public shop', is_enabled=False)",
    )
    ticket_type = portal.value("SELECT id FROM reservations_tickettype")
    for order in ("order-1042", "order-2000"):
        wanted = {
            "items": [{"ticket_type": ticket_type, "quantity": 1}],
            "order_id": order,
            "customer": CUSTOMER,
        }
        held = call(portal, "/api/v1/reservations/", wanted)
        if order == "order-1042":
            asked = {"amount": held["amount"], "customer": CUSTOMER}
            pay(portal, double, start_payment(portal, held["id"], order, **asked))
    call(portal, "/api/v1/deploys/", {"release": "shop@2.15.0", "environment": "production"})
    error = {
        "message": "checkout failed",
        "severity": "critical",
        "order_id": "order-2000",
        "user_id": CUSTOMER,
        "environment": "production",
        "release": "shop@2.15.0",
    }
    call(portal, "/api/v1/errors/", [error] * 8)
    sent = "SELECT count(*) FROM alerts_notification WHERE state = 'sent'"
    portal.wait_for(lambda: portal.value(sent), 60, "the notification")


@pytest.fixture
def page(shop: tuple[Portal, StripeDouble], browser: Browser) -> Iterator[Page]:
    portal, _ = shop
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    session = {"name": "sessionid", "value": portal.seeded.session, "url": portal.base_url}
    context.add_cookies([session])  # type: ignore[list-item]
    page = context.new_page()
    page.goto(portal.base_url + HOME)
    page.wait_for_load_state("networkidle")
    yield page
    context.close()


# --- the tasks ---------------------------------------------------------------------------------------


def see_which_errors_cost_most(hand: Hand, portal: Portal) -> None:
    hand.find("by cost", "Errors of this week by cost")
    row = hand.page.locator("[data-row-item]").first
    expect(row).to_contain_text("checkout failed")
    expect(row).to_contain_text("45.00 EUR")


def find_the_payment_of_an_order(hand: Hand, portal: Portal) -> None:
    hand.find("order-1042", "Order order-1042")
    expect(hand.page.get_by_role("heading", name="Timeline")).to_be_visible()


def see_who_was_notified(hand: Hand, portal: Portal) -> None:
    hand.find("critical err", "Critical errors")
    expect(hand.page.locator("#deliveries")).to_contain_text("to slack")
    expect(hand.page.locator("#deliveries td.nowrap time").first).to_be_visible()


def silence_a_monitor(hand: Hand, portal: Portal) -> None:
    hand.find("silence pub", "Silence Public shop for two hours")
    hand.save()
    expect(hand.page.get_by_text("was added successfully")).to_be_visible()
    assert portal.value("SELECT count(*) FROM alerts_silence") == 1
    portal.rows("DELETE FROM alerts_silence")


def refund(hand: Hand, portal: Portal) -> None:
    hand.find("refund order-1042", "Refund order order-1042")
    hand.fill(hand.page.get_by_label("Amount"), "10")
    hand.fill(hand.page.get_by_label("Reason"), "goodwill")
    hand.check(hand.page.get_by_label("Keep"))
    hand.press(hand.page.get_by_role("button", name="Continue"))
    hand.press(hand.page.get_by_role("button", name="Refund 10.00 EUR"))
    expect(hand.page.get_by_text("Refund succeeded.")).to_be_visible()


def add_a_colleague_who_can_only_read(hand: Hand, portal: Portal) -> None:
    hand.find("add us", "Add user")
    hand.fill(hand.page.locator("#id_username"), "anna")
    hand.fill(hand.page.locator("#id_password1"), "violet-harbor-9")
    hand.fill(hand.page.locator("#id_password2"), "violet-harbor-9")
    hand.check(hand.page.get_by_label("Read-only"))
    hand.save()
    expect(hand.page.get_by_text("was added successfully")).to_be_visible()
    roles = "SELECT count(*) FROM auth_user_groups"
    assert portal.value(roles) == 1
    portal.rows("DELETE FROM auth_user_groups")
    portal.rows("DELETE FROM auth_user WHERE username = 'anna'")


def see_what_changed_before(hand: Hand, portal: Portal) -> None:
    hand.find("critical err", "Critical errors")
    expect(hand.page.locator("main")).to_contain_text("Deploy of Shop shop@2.15.0 to production")


def publish_an_incident(hand: Hand, portal: Portal) -> None:
    hand.find("add inc", "Add incident")
    hand.fill(hand.page.locator("#id_title"), "Payments fail")
    hand.fill(hand.page.locator("#id_updates-0-text"), "We are rolling back.")
    hand.press(hand.page.get_by_role("button", name="Save", exact=True))
    expect(hand.page.get_by_text("was added successfully")).to_be_visible()
    assert portal.value("SELECT count(*) FROM health_incidentupdate") == 1
    assert portal.value("SELECT count(*) FROM health_incident WHERE is_public") == 1
    portal.rows("DELETE FROM health_incidentupdate")
    portal.rows("DELETE FROM health_incident")


def find_the_data_of_a_customer(hand: Hand, portal: Portal) -> None:
    hand.find(CUSTOMER, f"Errors of {CUSTOMER}")
    expect(hand.page.locator("[data-row-item]").first).to_contain_text("checkout failed")
    found = hand.page.request.get(f"{portal.base_url}/api/v1/search/?q={CUSTOMER}").json()
    titles = {group["title"] for group in found["groups"]}
    assert {"Payments", "Reservations", "Errors of a user"} <= titles


def change_a_threshold(hand: Hand, portal: Portal) -> None:
    hand.find("errors.crit", "Critical errors errors.critical")
    hand.fill(hand.page.locator("#id_threshold"), "7")
    hand.save()
    expect(hand.page.get_by_text("was changed successfully")).to_be_visible()
    assert portal.value("SELECT count(*) FROM alerts_alertrule WHERE threshold = 7") == 1
    portal.rows("UPDATE alerts_alertrule SET threshold = 5 WHERE threshold = 7")


TASKS: dict[str, Callable[[Hand, Portal], None]] = {
    "see which errors cost most this week": see_which_errors_cost_most,
    "find the payment of an order": find_the_payment_of_an_order,
    "see who was notified of an alert, and when": see_who_was_notified,
    "silence a monitor for two hours": silence_a_monitor,
    "refund a part of a payment": refund,
    "add a colleague who can only read": add_a_colleague_who_can_only_read,
    "see what changed before an outage": see_what_changed_before,
    "publish an incident": publish_an_incident,
    "find the data of a customer": find_the_data_of_a_customer,
    "change a threshold": change_a_threshold,
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_takes_no_more_effort_than_documented(
    shop: tuple[Portal, StripeDouble], page: Page, name: str
) -> None:
    portal, _ = shop
    mouse, keyboard = Mouse(page), Keyboard(page)

    TASKS[name](mouse, portal)
    page.goto(portal.base_url + HOME)
    page.wait_for_load_state("networkidle")
    TASKS[name](keyboard, portal)

    by_mouse, by_keys = mouse.effort, keyboard.effort
    assert by_keys.clicks == 0
    print(
        f"\n| {name} | {by_mouse.clicks} | {by_keys.keys} | {by_keys.letters} "
        f"| {by_mouse.seconds:.0f} s | {by_keys.seconds:.0f} s |"
    )
    clicks, keys, letters = documented_effort(name)
    assert by_mouse.clicks <= clicks <= MAX_CLICKS
    assert by_keys.keys <= keys
    assert max(by_mouse.letters, by_keys.letters) <= letters


def documented_effort(name: str) -> tuple[int, int, int]:
    found = re.search(
        rf"^\| {re.escape(name)} \| (\d+) \| (\d+) \| (\d+) \|", LOOK.read_text(), re.M
    )
    assert found, f"docs/look.md has no row for: {name}"
    return int(found[1]), int(found[2]), int(found[3])
