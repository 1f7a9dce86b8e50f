"""Test the demo's story in a real browser: a bad release, its alert with cost and cause, and the rollback."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from core.lib import formats
from demo.bank import Bank
from demo.control import ControlPage
from demo.portal import Keys
from demo.portal import Portal as Caller
from demo.shop import Shop
from demo.story import LENGTH_SECONDS, Scene, Story
from tests.payments.stripe_double import StripeDouble
from tests.servers import process
from tests.servers.portal import Portal

SECONDS = 15.0
HEALTH = "/admin/system-health/"


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = Bank(StripeDouble())
    yield bank
    bank.close()


@pytest.fixture
def running(make_portal: Callable[..., Portal], bank: Bank) -> Portal:
    portal = make_portal(**bank.settings)
    portal.start()
    portal.start_worker()
    portal.manage("seed_demo")
    return portal


@pytest.fixture
def shop(running: Portal, bank: Bank) -> Iterator[Shop]:
    keys = Keys(running.seeded.app_id, running.public_key, running.api_key)
    callers = [Caller(running.base_url, keys) for _ in range(2)]
    shop = Shop(callers[0], callers[1], bank, buyers_per_usual=LENGTH_SECONDS / SECONDS)
    yield shop
    shop.close()


def test_every_number_of_the_story_agrees_with_the_database(
    running: Portal, shop: Shop, context: BrowserContext, page: Page
) -> None:
    context.add_cookies(
        [{"name": "sessionid", "value": running.seeded.session, "url": running.base_url}]
    )
    story = Story(shop, length_seconds=SECONDS)
    control = ControlPage(story, running.base_url)
    try:
        shop.open()
        page.goto(control.url)
        page.get_by_role("button", name="Start the story").click()
        expect(page.get_by_role("status")).to_contain_text("Now: All is well")
        process.wait_until(lambda: story.scene == Scene.ROLLBACK, what="the rollback")

        page.goto(running.base_url + HEALTH)
        headline = page.locator("#widget-health-verdict")
        expect(headline).to_contain_text("Critical errors")
        expect(headline).to_contain_text(re.compile(r"\d+ orders, [\d,.]+ EUR at risk"))
        expect(headline).to_contain_text("shop@2.15.0 to production")
        process.wait_until(lambda: story.scene == Scene.FINISHED, what="the end of the story")
        page.goto(control.url)
        expect(page.get_by_role("status")).to_contain_text("The story has ended")
    finally:
        control.close()
        story.close()
        shop.close()  # Stop the shop, because changing figures cannot be compared.

    group = running.value(
        "SELECT id FROM errors_errorgroup WHERE severity = 'critical' AND title LIKE 'TypeError%'"
    )
    alert = running.value("SELECT id FROM alerts_systemalert WHERE title = 'Critical errors'")
    orders = [f"/admin/impact/{problem}/" for problem in (f"group/{group}", f"alert/{alert}")]
    for path in (f"/admin/errors/{group}/", f"/admin/alerts/{alert}/", HEALTH, *orders):
        # The bank may still have to report the shop's last payments.
        process.wait_until(
            partial(shows_the_cost, page, running.base_url + path, running),
            what=f"the cost on {path}",
        )


def shows_the_cost(page: Page, url: str, portal: Portal) -> bool:
    page.goto(url)
    return sentence_by_sql(portal) in " ".join(page.locator("main").inner_text().split())


def sentence_by_sql(portal: Portal) -> str:
    """Return the sentence about the cost of the failed orders, computed by SQL from payments and reservations."""
    orders = (
        "FROM reservations_reservation AS r WHERE r.order_id IN"
        " (SELECT order_ref FROM errors_errorevent WHERE severity = 'critical')"
    )
    paid = (
        "EXISTS (SELECT 1 FROM payment_intents_log AS p WHERE p.order_id = r.order_id"
        " AND p.status = 'succeeded')"
    )
    amount = (
        "SELECT sum(l.quantity * l.price) FROM reservations_line AS l"
        f" WHERE l.reservation_id IN (SELECT r.id {orders} AND NOT {paid})"
    )
    count = portal.value(f"SELECT count(*) {orders}")
    recovered = portal.value(f"SELECT count(*) {orders} AND {paid}")
    at_risk = formats.money(int(portal.value(amount)), "EUR")
    return f"{count} orders, {at_risk} at risk, {recovered} recovered"
