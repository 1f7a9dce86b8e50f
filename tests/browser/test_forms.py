"""Test that the forms that staff use most check input during typing, are accessible, and fit every screen."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import LOOKS, Watch, look, scrolls_sideways, settled, squeezed
from tests.servers.portal import Portal

FORMS = {
    "app": "/admin/clients/clientapp/add/",
    "monitor": "/admin/health/monitor/add/?type=http",
    "heartbeat": "/admin/health/heartbeat/add/",
    "channel": "/admin/alerts/channel/add/?kind=slack",
    "rule": "/admin/alerts/alertrule/add/",
    "type": "/admin/alerts/alerttype/add/",
    "silence": "/admin/alerts/silence/add/",
    "incident": "/admin/health/incident/add/",
    "template": "/admin/health/incidenttemplate/add/",
    "status page": "/admin/health/statuspage/add/",
    "rotation": "/admin/alerts/rotation/add/",
    "maintenance": "/admin/health/maintenancewindow/add/",
    "event": "/admin/reservations/event/add/",
    "person": "/admin/alerts/person/add/",
    "user": "/admin/auth/user/add/",
}


@pytest.fixture
def owner_page(module_portal: Portal, context: BrowserContext, page: Page) -> Page:
    portal = module_portal
    session = {"name": "sessionid", "value": portal.seeded.session, "url": portal.base_url}
    context.add_cookies([session])  # type: ignore[list-item]
    return page


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_accessible_and_fit_every_screen(
    owner_page: Page, module_portal: Portal, watch: Watch, name: str
) -> None:
    for each in LOOKS:
        with look(owner_page, each):
            owner_page.goto(module_portal.base_url + FORMS[name])
            settled(owner_page)

            watch.verify()
            assert not scrolls_sideways(owner_page), each
            assert squeezed(owner_page) == [], each
            assert serious_faults(owner_page) == [], each
            # Ignore the violations of the content security policy by axe, which adds inline styles.
            watch.faults.clear()


def test_a_field_shows_its_message_when_it_is_left_and_loses_it_while_it_is_corrected(
    owner_page: Page, module_portal: Portal, watch: Watch
) -> None:
    page = owner_page
    page.goto(module_portal.base_url + FORMS["event"])
    price = page.locator("#id_ticket_types-0-price")
    message = page.locator("#id_ticket_types-0-price_error")

    price.fill("12.345")
    expect(message).to_have_count(0)
    page.keyboard.press("Tab")
    expect(message).to_have_text("Amounts in EUR can have at most 2 decimals.")
    expect(price).to_have_attribute("aria-invalid", "true")
    expect(price).to_have_accessible_description(re.compile("Amounts in EUR can have at most 2"))
    # The user has not changed the name, so it is not checked yet.
    expect(page.locator("#id_name_error")).to_have_count(0)
    watch.verify()
    assert serious_faults(page) == []
    watch.faults.clear()
    # Backspace changes the value to 12.34, and the field keeps the focus.
    price.press("Backspace")

    expect(message).to_be_empty()
    expect(price).not_to_have_attribute("aria-invalid", "true")


def test_checking_and_saving_show_the_same_message(owner_page: Page, module_portal: Portal) -> None:
    page = owner_page
    page.goto(module_portal.base_url + FORMS["silence"])
    page.locator("#id_comment").fill("Upgrade")
    page.locator("#id_ends_at_0").fill("2020-01-01")
    page.keyboard.press("Tab")
    expect(page.locator("#id_ends_at_error")).to_have_text("The end must be later than the start.")

    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.locator(".errornote")).to_be_visible()
    expect(page.locator("#id_ends_at_error")).to_have_text("The end must be later than the start.")


def test_go_is_enabled_only_while_rows_of_a_list_are_selected(
    owner_page: Page, module_portal: Portal, watch: Watch
) -> None:
    page = owner_page
    page.goto(module_portal.base_url + "/admin/alerts/alerttype/")
    go = page.get_by_role("button", name="Go", exact=True)
    expect(go).to_be_disabled()

    page.locator("input.action-select").first.check()
    expect(go).to_be_enabled()
    page.locator("input.action-select").first.uncheck()
    expect(go).to_be_disabled()
    page.locator("#action-toggle").check()
    expect(go).to_be_enabled()
    page.locator("#action-toggle").uncheck()
    expect(go).to_be_disabled()
    watch.verify()
