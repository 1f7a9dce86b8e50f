"""Test two-factor sign-in and the page of an app's keys in a browser."""

import time
from binascii import unhexlify

from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import screenshots, scrolls_sideways
from tests.servers.portal import Portal


def code_from_the_phone(portal: Portal, ahead: int = 0) -> str:
    key = portal.value("SELECT key FROM otp_totp_totpdevice")
    totp = TOTP(unhexlify(key))
    totp.time = time.time() + 30 * ahead
    return f"{totp.token():06d}"


def test_two_factor_sign_in_is_set_up_and_used(portal: Portal, staff_page: Page) -> None:
    page = staff_page
    page.goto(f"{portal.base_url}/admin/two-factor/")
    qr = page.get_by_alt_text("QR code with the key below")
    assert qr.evaluate("image => image.complete && image.naturalWidth > 100")
    assert serious_faults(page) == []

    screenshots(page, "two-factor")
    page.get_by_label("Code").fill(code_from_the_phone(portal, ahead=-1))
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("Your recovery codes")).to_be_visible()
    recovery = page.locator("#recovery-codes").inner_text().split()
    assert len(recovery) == 10
    assert serious_faults(page) == []

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{portal.base_url}/admin/login/?next=/admin/two-factor/")
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("correct-horse-battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Code from your phone, or a recovery code")).to_be_focused()
    assert serious_faults(page) == []
    screenshots(page, "sign-in-code")
    page.keyboard.type(recovery[0])
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{portal.base_url}/admin/two-factor/")
    expect(page.get_by_text("9 unused recovery codes")).to_be_visible()


def test_keys_of_an_app_are_copied_created_and_revoked(portal: Portal, staff_page: Page) -> None:
    page = staff_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{portal.base_url}/admin/apps/{portal.seeded.app_id}/keys/")
    assert serious_faults(page) == []

    screenshots(page, "keys")
    page.set_viewport_size({"width": 375, "height": 800})
    assert not scrolls_sideways(page)
    page.set_viewport_size({"width": 1280, "height": 900})

    page.get_by_role("row", name="default").get_by_role("button", name="Copy").first.click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == portal.dsn

    page.get_by_label("Create and read payments").check()
    page.get_by_role("button", name="Create API key").click()
    secret = page.locator("#new-secret").inner_text()
    assert secret.startswith("ops_")

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("region", name="DSN keys").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No active DSN key")).to_be_visible()
    assert serious_faults(page) == []
