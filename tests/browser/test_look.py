"""Test the themes, the phone menu, the keyboard navigation and the accessibility of every page's frame."""

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import (
    LOOKS,
    Watch,
    clipped,
    invisible,
    look,
    scrolls_sideways,
    settled,
    squeezed,
)
from tests.errors.stored import PAYLOAD
from tests.servers.portal import Portal

PAGES = {
    "system health": "/admin/system-health/",
    "alerts": "/admin/alerts/",
    "errors": "/admin/errors/",
    "an error": "/admin/errors/1/",
    "an event": "/admin/errors/1/events/latest/",
    "settings": "/admin/",
    "search": "/admin/search/?q=app",
    "jobs": "/admin/jobs/job/",
    "a job": "/admin/jobs/job/1/change/",
    "uptime": "/admin/system-health/uptime/",
    "the wall": "/admin/system-health/?wall=1",
    "logs": "/admin/logs/",
    "inbound filters": "/admin/errors/filters/1/",
    "releases": "/admin/releases/",
    "a release": "/admin/releases/1/",
    "an alert": "/admin/alerts/1/",
    "routing": "/admin/alerts/routing/",
    "on call": "/admin/alerts/on-call/",
    "a user": "/admin/auth/user/1/change/",
    "an incident": "/admin/health/incident/1/change/",
    "payments": "/admin/payments/",
    "reservations": "/admin/reservations/",
    "erasure": "/admin/impact/erase/",
    "person": "/admin/impact/person/",
    "retention": "/admin/impact/retention/",
    "API reference": "/admin/apps/api/",
    "a list": "/admin/clients/clientapp/",
    "a list with inputs": "/admin/alerts/alertrule/",
    "a log": "/admin/access/auditevent/",
    "a form": "/admin/clients/clientapp/add/",
    "the types of monitors": "/admin/health/monitor/add/",
    "a monitor": "/admin/health/monitor/add/?type=http",
}


@pytest.fixture(scope="module", autouse=True)
def reported_error(module_portal: Portal) -> None:
    answer = httpx.post(
        f"{module_portal.base_url}/api/{module_portal.seeded.app_id}/store/",
        params={"sentry_key": module_portal.public_key, "sentry_version": "7"},
        json={**PAYLOAD, "level": "fatal", "environment": "production", "release": "1.2"},
    )
    assert answer.status_code == 200, answer.text
    rows = (
        "from tests.factories import *\n"
        "from django.utils import timezone\n"
        "from core.releases.models import Release\n"
        "from health.models import Incident\n"
        "make_alert()\n"
        f"Release.objects.get_or_create(app_id={module_portal.seeded.app_id}, version='1.2')\n"
        "Incident.objects.create(title='Payments fail', started_at=timezone.now(), is_public=True)"
    )
    made = module_portal.manage("shell", "-c", rows)
    assert made.returncode == 0, made.stderr


@pytest.fixture
def owner_page(module_portal: Portal, page: Page) -> Page:
    page.context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": module_portal.seeded.session,
                "url": module_portal.base_url,
            }
        ]
    )
    page.goto(module_portal.base_url + "/admin/")
    return page


# The results of these axe rules depend on the look. All other rules are checked in only one look.
CHANGES_BY_LOOK = {"dark": ["color-contrast"], "phone": ["scrollable-region-focusable"]}


@pytest.mark.parametrize("name", PAGES)
def test_main_pages_are_accessible_in_every_look_and_at_every_zoom(
    owner_page: Page, module_portal: Portal, watch: Watch, name: str
) -> None:
    for each in LOOKS:
        with look(owner_page, each):
            owner_page.goto(module_portal.base_url + PAGES[name])
            settled(owner_page)

            watch.verify()
            assert not scrolls_sideways(owner_page), each
            assert squeezed(owner_page) == [], each
            assert invisible(owner_page) == [], each
            assert serious_faults(owner_page, *CHANGES_BY_LOOK.get(each, [])) == [], each
            # Ignore the violations of the content security policy by axe, which adds inline styles.
            watch.faults.clear()
    # A zoom of 200 or 400 % gives the same layout as a window of half or a quarter of the size.
    for width, height in ((640, 450), (320, 256)):
        owner_page.set_viewport_size({"width": width, "height": height})
        assert not scrolls_sideways(owner_page), width
        assert clipped(owner_page) == [], width


def test_the_sign_in_page_is_accessible_and_fits_a_phone(
    page: Page, module_portal: Portal, watch: Watch
) -> None:
    for each in LOOKS:
        with look(page, each):
            page.goto(module_portal.base_url + "/admin/login/")

            watch.verify()
            assert not scrolls_sideways(page), each
            assert serious_faults(page, *CHANGES_BY_LOOK.get(each, [])) == [], each
            watch.faults.clear()


def test_the_chosen_theme_is_kept_on_the_next_page(owner_page: Page, module_portal: Portal) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = owner_page.evaluate(background)

    owner_page.get_by_role("button", name="Theme: system").click()

    assert owner_page.evaluate(background) != light
    owner_page.goto(module_portal.base_url + "/admin/errors/")
    expect(owner_page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert owner_page.evaluate(background) != light


def test_the_menu_on_phones_opens_without_scripts(browser: Browser, module_portal: Portal) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 375, "height": 812})
    context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": module_portal.seeded.session,
                "url": module_portal.base_url,
            }
        ]
    )
    page = context.new_page()
    page.goto(module_portal.base_url + "/admin/errors/")
    place = page.get_by_role("navigation", name="Main").get_by_role("link", name="Errors")

    expect(place).to_be_hidden()
    page.get_by_text("Menu", exact=True).click()
    expect(place).to_be_visible()
    expect(place).to_have_attribute("aria-current", "page")
    context.close()


def test_the_first_tab_key_offers_to_skip_to_the_content(owner_page: Page) -> None:
    owner_page.keyboard.press("Tab")

    expect(owner_page.get_by_text("Skip to main content")).to_be_focused()
    owner_page.keyboard.press("Enter")
    expect(owner_page.locator("main")).to_be_focused()


def test_charts_are_drawn_and_have_a_table(owner_page: Page, module_portal: Portal) -> None:
    owner_page.goto(module_portal.base_url + "/admin/errors/1/")
    chart = owner_page.locator("figure[data-chart]").first

    expect(chart.locator("canvas")).to_be_visible()
    chart.get_by_text("Show as table").click()
    expect(chart.get_by_role("table").last).to_contain_text("1 event")


def test_the_command_palette_finds_by_typing_and_keeps_recent_items(
    owner_page: Page, module_portal: Portal, watch: Watch
) -> None:
    for each in LOOKS:
        with look(owner_page, each):
            owner_page.goto(module_portal.base_url + "/admin/errors/")
            settled(owner_page)
            owner_page.keyboard.press("Control+k")
            field = owner_page.get_by_role("combobox", name="Search everything")
            expect(field).to_be_focused()
            owner_page.keyboard.type("uptime")
            option = owner_page.locator("dialog.palette").get_by_role("option").first
            expect(option).to_contain_text("Uptime")
            expect(option).to_have_attribute("aria-selected", "true")
            expect(field).to_have_attribute("aria-activedescendant", "palette-option-0")
            expect(field).to_have_attribute("aria-expanded", "true")

            watch.verify()
            assert not scrolls_sideways(owner_page), each
            assert serious_faults(owner_page, *CHANGES_BY_LOOK.get(each, [])) == [], each
            watch.faults.clear()

    owner_page.keyboard.press("Enter")
    owner_page.wait_for_url("**/admin/system-health/uptime/")
    owner_page.goto(module_portal.base_url + "/admin/errors/")
    owner_page.get_by_role("link", name="Search").click()
    expect(owner_page.get_by_role("group", name="Recent")).to_contain_text("Uptime")
    owner_page.keyboard.press("Escape")
    expect(owner_page.locator("dialog.palette")).to_be_hidden()


def test_enter_opens_the_first_result_of_the_typed_query_even_if_it_is_still_loading(
    owner_page: Page, module_portal: Portal
) -> None:
    page = owner_page
    page.goto(module_portal.base_url + "/admin/errors/")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search everything")
    options = page.locator("dialog.palette").get_by_role("option")
    field.fill("uptime")
    expect(options.first).to_contain_text("Uptime")
    slow: list[Route] = []

    def hold(route: Route) -> None:
        slow.append(route)

    page.route("**/*?q=*", hold)

    with page.expect_request("**/*?q=nothing*"):
        field.fill("nothing like this")
        field.press("Enter")
    expect(options.first).to_contain_text("Uptime")
    slow.pop().continue_()
    expect(page.get_by_role("status").filter(has_text="No results")).to_be_visible()

    with page.expect_request("**/*?q=add*"):
        field.fill("add monitor")
        field.press("Enter")
    expect(field).to_be_focused()
    slow.pop().continue_()
    page.wait_for_url("**/monitor/add/")

    page.unroute("**/*?q=*")


def test_the_search_works_without_scripts(browser: Browser, module_portal: Portal) -> None:
    context = browser.new_context(java_script_enabled=False)
    base_url, session = module_portal.base_url, module_portal.seeded.session
    context.add_cookies([{"name": "sessionid", "value": session, "url": base_url}])
    page = context.new_page()
    page.goto(module_portal.base_url + "/admin/errors/")

    page.get_by_role("link", name="Search").click()
    page.get_by_role("searchbox").fill("add monitor")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Add monitor").click()

    expect(page.get_by_role("heading", name="Add a monitor")).to_be_visible()
    context.close()
