"""Find pages and settings for the portal's search."""

from collections.abc import Iterator

from django.contrib import admin
from django.urls import reverse

from core.lib.admin_site import PortalAdminSite
from core.lib.search_sources import Hit, Search, search_source

# A title, a URL name, a permission, and further words that find the page.
PAGES = (
    ("System health", "health:system-health", "", "overview dashboard start"),
    ("Alerts", "alerts:alert-list", "alerts.view_systemalert", "inbox problems"),
    ("Errors", "errors:group-list", "errors.view_errorgroup", "exceptions issues"),
    (
        "Errors of this week by cost",
        "errors:group-list?sort=risk&state=all&q=since:7d",
        "errors.view_errorgroup",
        "most expensive money at risk",
    ),
    ("Releases", "errors:release-list", "releases.view_release", "deploys versions"),
    ("Uptime", "health:uptime", "", "availability monitors"),
    ("Payments", "payments:overview", "payments.view_payment", "stripe money"),
    ("Reservations", "reservations:overview", "reservations.view_reservation", "tickets seats"),
    ("Settings", "admin:index", "", "configuration"),
    ("Public status page", "health:status-page", "", ""),
    ("Two-factor sign-in", "access:two-factor", "", "security password account"),
    ("Sessions", "access:session-list", "", "signed in browsers devices account sign out"),
    ("API tokens", "clients:token-list", "", "personal key account"),
    ("Change password", "admin:password_change", "", "account"),
)


@search_source("opsportal.pages", title="Pages", order=10, respects_apps=True)
def find_pages(search: Search) -> Iterator[Hit]:
    for title, url_name, permission, words in PAGES:
        name, _, query = url_name.partition("?")
        if (not permission or search.may(permission)) and search.matches(title, words):
            url = reverse(name) + (f"?{query}" if query else "")
            yield Hit(title, url, is_exact=search.text.casefold() == title.casefold())


@search_source("opsportal.settings", title="Settings", order=900, respects_apps=True)
def find_settings(search: Search) -> Iterator[Hit]:
    site = admin.site
    assert isinstance(site, PortalAdminSite)
    for section in site.settings_sections(search.may):
        for one in (*section.settings, *section.records):
            if search.matches(one.title, one.purpose, section.title):
                yield Hit(one.title, one.url, one.purpose or section.title)


@search_source("opsportal.actions", title="Actions", order=910, respects_apps=True)
def find_actions(search: Search) -> Iterator[Hit]:
    """Find forms for new rows, such as "Add monitor"."""
    site = admin.site
    assert isinstance(site, PortalAdminSite)
    found = [
        Hit(one.add_title, one.add_url, one.purpose)
        for section in site.settings_sections(search.may)
        for one in section.settings
        if one.add_url and search.matches(one.add_title, "new create")
    ]
    # The shortest title is closest to the query: "Add incident" precedes "Add incident template".
    yield from sorted(found, key=lambda hit: len(hit.title))
