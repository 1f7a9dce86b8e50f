"""Test adding and using a passkey in a real browser, with Chromium's virtual authenticator."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import serious_faults
from tests.browser.support import screenshots, scrolls_sideways
from tests.servers.portal import Portal

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def test_a_passkey_can_be_added_and_used_to_sign_in(
    make_portal: Callable[..., Portal], context: BrowserContext, page: Page
) -> None:
    portal = make_portal()
    origin = f"http://localhost:{portal.port}"  # Passkeys require a host name, not an IP address.
    portal.environment["BASE_URL"] = origin
    portal.start()
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    added = devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})

    page.goto(f"{origin}/admin/login/?next=/admin/two-factor/")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("correct-horse-battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Name").fill("work laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("Your recovery codes")).to_be_visible()
    page.goto(f"{origin}/admin/two-factor/")
    expect(page.get_by_text("work laptop")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "passkeys")
    page.set_viewport_size({"width": 390, "height": 800})
    assert not scrolls_sideways(page)
    page.set_viewport_size({"width": 1280, "height": 900})

    page.goto(f"{origin}/admin/sessions/")
    expect(page.get_by_text("this browser")).to_be_visible()
    assert serious_faults(page) == []
    screenshots(page, "sessions")
    page.goto(f"{origin}/admin/tokens/")
    assert serious_faults(page) == []
    screenshots(page, "tokens")

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{origin}/admin/login/?next=/admin/two-factor/")
    assert serious_faults(page) == []
    screenshots(page, "sign-in-passkey")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(f"{origin}/admin/two-factor/")
    expect(page.get_by_text("last used")).to_be_visible()

    # If the device does not verify the user, the page reports this, and the user signs in with a password and a second
    # factor.
    page.get_by_role("button", name="Sign out").click()
    devices.send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": added["authenticatorId"], "isUserVerified": False},
    )
    page.goto(f"{origin}/admin/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("No passkey was used")).to_be_visible()
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("correct-horse-battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name="Continue with a passkey")).to_be_visible()
    assert serious_faults(page) == []
