"""Test that an owner can set up an event, follow its sales, and resolve the case of a payment without a seat."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.shop import call, pay, start_payment
from tests.browser.support import screenshots, scrolls_sideways
from tests.payments.stripe_double import StripeDouble
from tests.servers.portal import Portal


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    double = StripeDouble()
    yield double
    double.close()


@pytest.fixture
def shop(make_portal: Callable[..., Portal], double: StripeDouble) -> Portal:
    portal = make_portal(
        STRIPE_SECRET_KEY="sk_test_double",
        STRIPE_API_BASE=double.base,
        STRIPE_WEBHOOK_SECRETS=double.secret,
    )
    portal.start()
    portal.start_worker()
    return portal


@pytest.fixture
def owner(shop: Portal, context: BrowserContext, page: Page) -> Page:
    context.add_cookies([{"name": "sessionid", "value": shop.seeded.session, "url": shop.base_url}])
    return page


def test_an_owner_can_sell_tickets_and_refund_a_payment_on_a_new_portal(
    shop: Portal, double: StripeDouble, owner: Page
) -> None:
    page = owner
    page.goto(f"{shop.base_url}/admin/reservations/")
    page.get_by_role("link", name="Add an event").click()
    page.locator("#id_name").fill("Summer gala")
    page.locator("#id_ticket_types-0-name").fill("Standing")
    page.locator("#id_ticket_types-0-capacity").fill("1")
    page.locator("#id_ticket_types-0-price").fill("25.00")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    type_id = shop.value("SELECT id FROM reservations_tickettype")

    # The first buyer's hold is released, a second buyer takes the seat, and then the first buyer pays after all.
    wanted = {"items": [{"ticket_type": type_id, "quantity": 1}], "order_id": "o-late"}
    late = call(shop, "/api/v1/reservations/", wanted)
    page.goto(f"{shop.base_url}/admin/reservations/{late['id']}/")
    assert serious_faults(page) == []
    page.get_by_role("button", name="Extend to 15 min from now").click()
    expect(page.get_by_text("The hold now lasts at least 15 more minutes.")).to_be_visible()
    late_payment = start_payment(shop, late["id"], "o-late")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Its seats are on sale again")).to_be_visible()
    other = call(shop, "/api/v1/reservations/", {**wanted, "order_id": "o-first"})
    pay(shop, double, start_payment(shop, other["id"], "o-first"))
    pay(shop, double, late_payment)

    page.goto(f"{shop.base_url}/admin/reservations/")
    expect(page.get_by_text("The payment and the seats of")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "reservations")
    page.goto(f"{shop.base_url}/admin/reservations/events/summer-gala/")
    expect(page.locator(".chart canvas")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "reservations-event")

    page.goto(f"{shop.base_url}/admin/reservations/inbox/")
    expect(page.get_by_role("heading", name="Paid, but the seats are gone")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "reservations-inbox")
    page.get_by_role("link", name="Refund…").click()
    page.get_by_label("Reason").fill("seats were gone")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("This cannot be undone.")).to_be_visible()
    assert serious_faults(page) == []
    page.get_by_role("button", name="Refund 25.00 EUR").click()
    expect(page.get_by_text("Refund succeeded.")).to_be_visible()
    expect(page.get_by_text("refund of 25.00 EUR: seats were gone")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "payment")
    assert not scrolls_sideways(page)

    page.goto(f"{shop.base_url}/admin/reservations/inbox/")
    expect(page.get_by_text("No open cases")).to_be_visible()
    page.goto(f"{shop.base_url}/admin/payments/")
    expect(page.get_by_text("No stuck payments, failed events or mismatches")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "payments")
    page.get_by_label("Find a payment").fill("o-late")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="o-late").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
