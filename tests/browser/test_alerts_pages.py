"""Test the alert pages in a real browser, with keyboard and mouse and on a phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import screenshots, scrolls_sideways, settled
from tests.servers.portal import Portal


@pytest.fixture
def inbox(portal: Portal, staff_page: Page) -> Page:
    """Open the inbox with three alerts that signals from an app have caused."""
    body = {
        "signals": [
            {"type": "counter", "name": "gift_card_provision_failed", "value": 9},
            {"type": "gauge", "name": "credit_balance", "value": 12},
            {"type": "delivery", "channel": "sms", "outcome": "failed", "count": 40},
        ]
    }
    portal.client.post("/api/v1/signals/", headers=portal.api, json=body).raise_for_status()
    run = portal.client.post("/api/v1/checks/run/", headers=portal.api, timeout=30)
    run.raise_for_status()
    staff_page.goto(f"{portal.base_url}/admin/alerts/?source=business")
    return staff_page


def rows(page: Page) -> list[str]:
    return page.locator("[data-row-item] .title").all_inner_texts()


def test_the_inbox_can_be_operated_by_keyboard(inbox: Page) -> None:
    settled(inbox)
    first, second = rows(inbox)
    assert serious_faults(inbox) == []

    inbox.keyboard.press("j")
    inbox.keyboard.press("a")
    expect(inbox.get_by_text(f"Acknowledged: {first}")).to_be_visible()
    expect(inbox.locator("[data-row-item]", has_text=first)).to_contain_text("owner")

    # The cursor stays on the alert, which is now listed below the open alert.
    expect(inbox.locator("[data-row-item][data-current]")).to_contain_text(first)
    inbox.keyboard.press("k")
    inbox.keyboard.press("d")
    expect(inbox.get_by_text(f"Dismissed: {second}")).to_be_visible()
    expect(inbox.locator("[data-row-item]")).to_have_count(1)
    # The dismissed alert is no longer listed, so the cursor moves to the alert that took its place.
    expect(inbox.locator("[data-row-item][data-current]")).to_contain_text(first)

    inbox.keyboard.press("z")
    expect(inbox.get_by_text("Undone: 1 alert.")).to_be_visible()
    expect(inbox.locator("[data-row-item]")).to_have_count(2)

    inbox.keyboard.press("?")
    shortcuts = inbox.get_by_role("dialog", name="Keyboard shortcuts")
    expect(shortcuts).to_contain_text("Acknowledge")
    assert serious_faults(inbox) == []
    inbox.keyboard.press("Escape")
    expect(shortcuts).to_have_count(0)


def test_the_shortcuts_of_the_list_work_on_the_page_of_an_alert(inbox: Page) -> None:
    first, second = rows(inbox)
    heading = inbox.get_by_role("heading", level=1)
    inbox.keyboard.press("j")
    inbox.keyboard.press("Enter")
    expect(heading).to_have_text(first)
    settled(inbox)

    inbox.keyboard.press("a")
    expect(inbox.locator(".page-head")).to_contain_text("Acknowledged")
    settled(inbox)
    inbox.keyboard.press("z")
    expect(inbox.get_by_text("Undone: 1 alert.")).to_be_visible()

    settled(inbox)
    inbox.keyboard.press("j")
    expect(heading).to_have_text(second)
    settled(inbox)
    inbox.keyboard.press("?")
    shortcuts = inbox.get_by_role("dialog", name="Keyboard shortcuts")
    for name in ("Resolve", "Dismiss", "Silence", "Previous"):
        expect(shortcuts).to_contain_text(name)
    inbox.keyboard.press("?")
    inbox.keyboard.press("k")
    expect(heading).to_have_text(first)

    inbox.get_by_role("link", name="Alerts").first.click()
    settled(inbox)


def test_the_search_line_is_completed_while_typing(inbox: Page) -> None:
    search = inbox.get_by_role("combobox", name="Search")
    search.fill("sev")
    search.press("End")
    expect(inbox.locator(".completions [role=option]")).to_have_count(1)
    assert serious_faults(inbox) == []

    inbox.keyboard.press("ArrowDown")
    inbox.keyboard.press("Enter")
    expect(search).to_have_value("severity:")
    inbox.locator(".completions [role=option]", has_text="severity:critical").click()
    expect(search).to_have_value("severity:critical ")
    inbox.keyboard.press("Enter")

    inbox.wait_for_url("**q=severity%3Acritical*")


def test_selected_alerts_are_dismissed_with_the_mouse(inbox: Page) -> None:
    dismiss = inbox.get_by_role("button", name=re.compile("Dismiss"))
    expect(dismiss).to_be_disabled()
    inbox.get_by_label("Select all").check()
    dismiss.click()

    expect(inbox.get_by_text("Dismissed: 2 alerts")).to_be_visible()
    expect(inbox.locator("[data-row-item]")).to_have_count(0)
    inbox.get_by_role("button", name="Undo").click()
    expect(inbox.locator("[data-row-item]")).to_have_count(2)


def test_the_alert_page_accepts_comments_and_an_acknowledgment(inbox: Page) -> None:
    title = rows(inbox)[0]
    inbox.get_by_role("link", name=title).click()
    expect(inbox.get_by_role("heading", level=1)).to_have_text(title)
    settled(inbox)
    assert serious_faults(inbox) == []

    inbox.get_by_label("Comment").fill("Ordered more.")
    inbox.get_by_role("button", name="Comment").click()
    expect(inbox.locator("#timeline")).to_contain_text("Ordered more.")
    inbox.get_by_role("button", name="Acknowledge").click()

    expect(inbox.locator(".page-head")).to_contain_text("Acknowledged")
    screenshots(inbox, "alert")


def test_the_inbox_and_the_alert_page_fit_a_phone(inbox: Page, portal: Portal) -> None:
    inbox.goto(f"{portal.base_url}/admin/alerts/")
    screenshots(inbox, "alerts")
    inbox.set_viewport_size({"width": 375, "height": 800})

    assert not scrolls_sideways(inbox)
    first = inbox.locator("[data-row-item]").first
    box = first.bounding_box()
    assert box
    assert box["y"] < 480  # The first alert is visible without scrolling.
    expect(inbox.get_by_label("Severity")).to_be_hidden()
    expect(inbox.locator(".bulk")).to_be_hidden()
    inbox.get_by_text("Filters", exact=True).click()
    expect(inbox.get_by_label("Severity")).to_be_visible()
    assert serious_faults(inbox) == []
    inbox.get_by_text("Filters", exact=True).click()
    first.locator("input").check()
    expect(inbox.locator(".bulk")).to_be_visible()
    assert not scrolls_sideways(inbox)

    inbox.get_by_role("link", name=rows(inbox)[0]).click()
    assert not scrolls_sideways(inbox)


def test_the_rule_form_previews_unsaved_limits(inbox: Page, portal: Portal) -> None:
    rule = portal.value("SELECT id FROM alerts_alertrule WHERE name = 'business.failed_gift_cards'")
    inbox.goto(f"{portal.base_url}/admin/alerts/alertrule/{rule}/change/")
    preview = inbox.locator("#rule-preview")
    expect(preview).to_contain_text("would have fired 1 time")

    inbox.get_by_label("Threshold", exact=True).fill("1000")
    inbox.keyboard.press("Tab")

    expect(preview).to_contain_text("would have fired 0 times")
