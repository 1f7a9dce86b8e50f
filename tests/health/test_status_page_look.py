"""Test the name, the logo, the colors and the domain of the status page."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from health.caches.status import status_cache
from health.colors import contrast
from health.models import StatusPage
from tests.factories import make_component

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("patient_status_cache"),
]
ADD = "/admin/health/statuspage/add/"
CHANGE = "/admin/health/statuspage/1/change/"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 50
SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)
FORM = {"name": "Shop status", "home_url": "", "accent_color": "", "dark_accent_color": ""}


def get(client: Client, path: str, **headers: Any) -> Any:
    status_cache.clear()
    return client.get(path, **headers)


def save(client: Client, path: str = ADD, **fields: Any) -> Any:
    return client.post(path, {**FORM, **fields})


def file(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("logo", content)


def test_the_page_has_the_name_website_and_colors_from_the_form(admin_client: Client) -> None:
    saved = save(
        admin_client,
        home_url="shop.example",
        accent_color="#1f5fa8",
        dark_accent_color="#9ecbff",
    )
    assert saved.status_code == 302

    page = get(Client(), "/status/").content.decode()
    assert "<title>Shop status</title>" in page
    assert 'href="https://shop.example"' in page
    assert "light-dark(#1f5fa8, #9ecbff)" in get(Client(), "/status/colors.css").content.decode()
    assert (
        "<title>Shop status: incidents</title>"
        in get(Client(), "/status/feed.atom").content.decode()
    )
    assert "Shop status" in get(Client(), "/status/history/").content.decode()
    assert get(Client(), "/status/status.json").json()["data"]["page"]["name"] == "Shop status"


def test_the_settings_open_the_only_status_page(admin_client: Client) -> None:
    assert admin_client.get("/admin/health/statuspage/")["Location"] == ADD
    save(admin_client)
    assert admin_client.get("/admin/health/statuspage/")["Location"] == CHANGE
    assert admin_client.get(ADD).status_code == 403
    assert StatusPage.objects.count() == 1


def test_without_settings_the_page_has_its_own_name_and_the_colors_of_the_portal() -> None:
    page = get(Client(), "/status/").content.decode()
    assert "<title>System status</title>" in page
    assert "<img" not in page
    assert get(Client(), "/status/colors.css").content == b""
    assert Client().get("/status/logo").status_code == 404


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (SVG, "image/svg+xml"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89a" + b"0" * 9, "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
    ],
)
def test_the_logo_is_shown_and_can_be_removed(
    admin_client: Client, content: bytes, media_type: str
) -> None:
    save(admin_client, logo_file=file(content))

    page = get(Client(), "/status/").content.decode()
    assert '<img src="/status/logo?v=' in page
    logo = Client().get("/status/logo")
    assert (logo.content, logo["Content-Type"]) == (content, media_type)
    assert "sandbox" in logo["Content-Security-Policy"]  # Scripts in an SVG must not run.
    assert logo["X-Content-Type-Options"] == "nosniff"

    save(admin_client, CHANGE)  # Saving without a new file keeps the logo.
    assert Client().get("/status/logo").status_code == 200
    save(admin_client, CHANGE, remove_logo="on")
    assert Client().get("/status/logo").status_code == 404
    assert "<img" not in get(Client(), "/status/").content.decode()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accent_color": "blue"}, "Enter a color such as #1f5fa8."),
        ({"accent_color": "#ffff00"}, "hard to read on white: the contrast is 1.1"),
        ({"dark_accent_color": "#000080"}, "hard to read on the dark background"),
        ({"logo_file": b"<html>"}, "Upload a PNG, SVG, JPEG, WebP or GIF image."),
        ({"logo_file": b"<?xml version='1.0'?><a/>"}, "Upload a PNG"),
        ({"logo_file": PNG + b"0" * 200_000}, "The image is larger than 200 kB."),
        ({"home_url": "javascript:alert(1)"}, "Enter a valid URL."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_settings_that_would_not_work_are_refused(
    admin_client: Client, fields: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {
        name: file(v) if isinstance(v, bytes) else v for name, v in fields.items()
    }
    assert message in save(admin_client, **given).content.decode()
    assert not StatusPage.objects.exists()


def test_the_contrast_is_computed_as_in_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


# --- a domain of its own ------------------------------------------------------------------------------


@pytest.fixture
def status_domain(settings: Settings) -> str:
    settings.STATUS_PAGE_DOMAIN = "status.shop.example"
    settings.ALLOWED_HOSTS = ["testserver", "status.shop.example"]
    return "status.shop.example"


def test_the_domain_serves_only_the_status_page(status_domain: str) -> None:
    make_component(title="Shop", is_public=True)
    for path in (
        "/",
        "/status/",
        "/status/status.json",
        "/status/history/",
        "/status/badge/shop.svg",
    ):
        assert get(Client(), path, headers={"Host": status_domain}).status_code == 200, path
        assert Client().get(path, headers={"Host": f"{status_domain}:8443"}).status_code == 200, (
            path
        )
    for path in ("/admin/", "/admin/login/", "/health", "/metrics", "/livez", "/x"):
        assert Client().get(path, headers={"Host": status_domain}).status_code == 404, path
    assert Client().get("/", headers={"Host": "testserver"}).status_code == 302
    assert Client().get("/admin/login/").status_code == 200


def test_links_lead_to_the_domain(status_domain: str) -> None:
    feed = get(Client(), "/status/feed.atom").content.decode()
    assert '<link href="http://status.shop.example/status/"/>' in feed


def test_other_unknown_hosts_are_refused(status_domain: str) -> None:
    assert Client().get("/status/", headers={"Host": "evil.example"}).status_code == 400
