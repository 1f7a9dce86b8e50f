"""Test the system-health page and the status page in a browser."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import LOOKS, Watch, look, scrolls_sideways, settled, squeezed
from tests.servers.portal import Portal

HEALTH = "/admin/system-health/"


@pytest.fixture
def owner_page(module_portal: Portal, context: BrowserContext, page: Page) -> Page:
    portal = module_portal
    context.add_cookies(
        [{"name": "sessionid", "value": portal.seeded.session, "url": portal.base_url}]
    )
    return page


def six_critical_errors(portal: Portal, name: str) -> None:
    errors = [
        {"message": f"{name} broke", "severity": "critical", "function": name} for _ in range(6)
    ]
    answer = portal.client.post("/api/v1/errors/", headers=portal.api, json=errors)
    assert answer.status_code < 300, answer.text


def number_of_errors(page: Page) -> int:
    text = page.locator("#widget-errors-live .stat__value").first.inner_text()
    return int(re.sub(r"\D", "", text.split()[0]))


def test_the_error_count_updates_without_a_page_reload(
    owner_page: Page, module_portal: Portal
) -> None:
    owner_page.goto(module_portal.base_url + HEALTH)
    settled(owner_page)
    owner_page.evaluate("window.stillTheSamePage = true")
    before = number_of_errors(owner_page)

    six_critical_errors(module_portal, "checkout")
    # The page refreshes this widget only every 60 s.
    owner_page.evaluate("htmx.trigger('#widget-errors-live', 'refresh')")

    owner_page.wait_for_function(
        "before => parseInt(document.querySelector('#widget-errors-live .stat__value')"
        ".innerText.replace(/\\D/g, '')) >= before + 6",
        arg=before,
    )
    assert owner_page.evaluate("window.stillTheSamePage")
    chart = owner_page.locator("#widget-errors-live .chart__plot canvas")
    expect(chart).to_be_visible()  # The chart is drawn again after the widget is replaced.


def test_charts_are_drawn_in_a_browser_without_a_valid_locale(
    owner_page: Page, module_portal: Portal, watch: Watch
) -> None:
    owner_page.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'language', { get: () => 'en-US@posix' })"
    )
    six_critical_errors(module_portal, "posix")

    owner_page.goto(module_portal.base_url + HEALTH)

    expect(owner_page.locator("#widget-errors-live .chart__plot canvas")).to_be_visible()
    watch.verify()


@pytest.mark.parametrize("method", ["mouse", "keyboard", "without script"])
def test_an_alert_can_be_dismissed(
    module_portal: Portal, browser_context_without_script: Page, owner_page: Page, method: str
) -> None:
    module_portal.rows("DELETE FROM alerts_alertevent")
    module_portal.rows("DELETE FROM alerts_notification")
    module_portal.rows("DELETE FROM alerts_systemalert")
    six_critical_errors(module_portal, f"dismiss-{method.replace(' ', '-')}")
    module_portal.wait_for(
        lambda: module_portal.rows("SELECT 1 FROM alerts_systemalert"), what="the alert"
    )
    page = browser_context_without_script if method == "without script" else owner_page
    page.goto(module_portal.base_url + HEALTH)
    card = page.locator("#widget-alerts-active")
    button = card.get_by_role("button", name="Dismiss").first
    expect(button).to_be_visible()
    before = card.get_by_role("button", name="Dismiss").count()

    if method == "keyboard":
        button.focus()
        page.keyboard.press("Enter")
    else:
        button.click()

    expect(card.get_by_role("button", name="Dismiss")).to_have_count(before - 1)
    assert HEALTH in page.url
    assert module_portal.value("SELECT count(*) FROM alerts_systemalert WHERE state = 'dismissed'")


@pytest.fixture
def browser_context_without_script(context: BrowserContext, module_portal: Portal) -> Page:
    assert context.browser
    plain = context.browser.new_context(java_script_enabled=False)
    plain.add_cookies(
        [
            {
                "name": "sessionid",
                "value": module_portal.seeded.session,
                "url": module_portal.base_url,
            }
        ]
    )
    return plain.new_page()


@pytest.mark.parametrize(
    "path", [f"{HEALTH}?range=24h", f"{HEALTH}?wall=1", f"{HEALTH}uptime/", "/status/"]
)
def test_pages_are_accessible_and_fit_a_phone(
    owner_page: Page, module_portal: Portal, watch: Watch, path: str
) -> None:
    for each in LOOKS:
        with look(owner_page, each):
            owner_page.goto(module_portal.base_url + path)
            settled(owner_page)
            watch.verify()
            assert not scrolls_sideways(owner_page), each
            assert squeezed(owner_page) == [], each
            assert serious_faults(owner_page) == [], each
            # Ignore the violations of the content security policy by axe, which adds inline styles.
            watch.faults.clear()


def test_a_phone_shows_the_headline_and_all_figures_without_scrolling(
    owner_page: Page, module_portal: Portal
) -> None:
    owner_page.context.add_cookies(
        [{"name": "first-steps-dismissed", "value": "1", "url": module_portal.base_url}]
    )
    module_portal.rows("UPDATE alerts_systemalert SET state = 'open' WHERE state = 'dismissed'")
    with look(owner_page, "phone"):
        owner_page.goto(module_portal.base_url + HEALTH)
        settled(owner_page)

        expect(owner_page.locator("#widget-health-verdict .facts")).to_be_visible()
        box = owner_page.locator(".figure").last.bounding_box()

        assert box
        assert box["y"] + box["height"] <= 844
