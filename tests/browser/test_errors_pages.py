"""Test the pages of errors in a real browser, with the mouse, with the keyboard, and without JavaScript."""

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.support import screenshots
from tests.errors.stored import PAYLOAD
from tests.servers.portal import Portal


@pytest.fixture
def report(module_portal: Portal) -> Callable[[str], None]:
    """Return a function that reports an error of the given type: `report("SoldOut")`."""

    def send(kind: str) -> None:
        event = {
            **PAYLOAD,
            "level": "fatal",
            "exception": {"values": [{**PAYLOAD["exception"]["values"][1], "type": kind}]},
        }
        answer = httpx.post(
            f"{module_portal.base_url}/api/{module_portal.seeded.app_id}/store/",
            params={"sentry_key": module_portal.public_key, "sentry_version": "7"},
            json=event,
        )
        assert answer.status_code == 200, answer.text

    return send


@pytest.fixture
def errors(module_portal: Portal, page: Page) -> Page:
    page.context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": module_portal.seeded.session,
                "url": module_portal.base_url,
            }
        ]
    )
    page.goto(module_portal.base_url + "/admin/errors/")
    return page


def test_an_error_is_on_the_page_as_soon_as_its_report_is_acknowledged(
    errors: Page, report: Callable[[str], None]
) -> None:
    report("FreshError")

    errors.reload()

    expect(errors.get_by_role("link", name="FreshError: card was declined")).to_be_visible()
    screenshots(errors, "errors")


def test_selected_errors_are_resolved_together(errors: Page, report: Callable[[str], None]) -> None:
    report("FirstError")
    report("SecondError")
    errors.reload()

    for kind in ("FirstError", "SecondError"):
        errors.get_by_role("checkbox", name=kind).check()
    expect(errors.get_by_text("2 selected")).to_be_visible()
    errors.get_by_role("button", name="Resolve").click()

    expect(errors.get_by_text("2 errors resolved.")).to_be_visible()
    expect(errors.get_by_role("link", name="FirstError")).to_have_count(0)


def test_errors_can_be_handled_by_keyboard_only(
    errors: Page, report: Callable[[str], None]
) -> None:
    report("KeyboardError")
    errors.reload()

    errors.keyboard.press("j")
    expect(errors.locator("tr[data-current]")).to_contain_text("KeyboardError")
    errors.keyboard.press("m")

    expect(errors.get_by_text("1 error muted.")).to_be_visible()


def test_slash_focuses_the_search(errors: Page) -> None:
    errors.keyboard.press("/")

    expect(errors.get_by_role("combobox", name="Search")).to_be_focused()


def test_a_refresh_keeps_the_selection_and_the_focus(
    errors: Page, report: Callable[[str], None]
) -> None:
    report("KeptError")
    errors.reload()
    errors.get_by_role("checkbox", name="KeptError").check()
    report("NewcomerError")

    errors.evaluate("htmx.trigger('#groups', 'refresh')")

    expect(errors.get_by_role("link", name="NewcomerError")).to_be_visible()
    expect(errors.get_by_role("checkbox", name="KeptError")).to_be_checked()
    expect(errors.get_by_role("checkbox", name="KeptError")).to_be_focused()
    expect(errors.get_by_text("1 selected")).to_be_visible()


def test_a_group_is_muted_from_its_menu_and_the_history_names_the_user(
    errors: Page, report: Callable[[str], None]
) -> None:
    report("NoisyError")
    errors.reload()
    errors.get_by_role("link", name="NoisyError").click()

    errors.locator("summary", has_text="Mute").click()
    errors.get_by_role("button", name="1 day").click()

    expect(errors.get_by_text("1 error muted.")).to_be_visible()
    expect(errors.locator("#history")).to_contain_text("Muted by owner")


def test_the_event_page_opens_the_apps_own_frame(
    errors: Page, report: Callable[[str], None]
) -> None:
    report("FrameError")
    errors.reload()
    errors.get_by_role("link", name="FrameError").click()
    errors.get_by_role("link", name="Open this event").click()

    expect(errors.get_by_text("raise PaymentDeclined(reason)")).to_be_visible()
    expect(errors.get_by_text("<script>alert(1)</script>")).to_be_visible()
    screenshots(errors, "error-event")


def test_the_pages_work_without_javascript(
    browser: Browser, module_portal: Portal, report: Callable[[str], None]
) -> None:
    report("ScriptlessError")
    context = browser.new_context(java_script_enabled=False)
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
    page.goto(module_portal.base_url + "/admin/errors/?q=ScriptlessError")

    page.get_by_role("checkbox", name="ScriptlessError").check()
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("1 error resolved.")).to_be_visible()

    page.goto(module_portal.base_url + "/admin/errors/?q=ScriptlessError&state=resolved")
    page.get_by_role("link", name="ScriptlessError").click()
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_text("1 error reopened.")).to_be_visible()
    page.get_by_text("Show as table").click()
    expect(page.get_by_role("cell", name="1 event").first).to_be_visible()
    context.close()
