"""Test the page of an app's inbound filters, its preview, and the section on the app's page."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from core.accounts.models import AuditEvent
from errors.event.filters import MAX_PATTERNS, Filter
from errors.models import Discarded, InboundFilter
from errors.queries import filters as queries
from errors.services import discarded
from errors.services.filters import switch_on
from tests.errors.support import Sender, raised

pytestmark = pytest.mark.django_db

NOISE = "ResizeObserver loop limit exceeded"


def page_url(sender: Sender, kind: str = "") -> str:
    return f"/admin/errors/filters/{sender.app.pk}/" + (f"{kind}/" if kind else "")


def test_every_filter_is_on_the_page(sender: Sender, browse: Client) -> None:
    page = browse.get(page_url(sender)).content.decode()

    for kind in InboundFilter.Kind:
        assert f'id="{kind.value}"' in page


def test_a_preview_counts_stored_events_and_shows_examples(sender: Sender, browse: Client) -> None:
    for number in range(7):
        sender.send(raised(NOISE if number < 6 else "the card was declined"))
    # The preview must not count the same error from another app.
    Sender().send(raised(NOISE))

    page = browse.post(
        page_url(sender, "messages"), {"action": "preview", "patterns": "*ResizeObserver*"}
    ).content.decode()

    text = " ".join(page.split())
    assert "This filter would have dropped 6 of 7 events" in text
    assert page.count("/events/") == queries.MAX_EXAMPLES
    assert "*ResizeObserver*</textarea>" in page
    assert not InboundFilter.objects.exists()


def test_a_preview_decides_as_the_intake_does(sender: Sender) -> None:
    request = {"url": "http://127.0.0.1:8000/pay", "headers": {"User-Agent": "Googlebot/2.1"}}
    sender.send(raised(NOISE, request=request, release="shop@1.0"))
    now = timezone.now() + timedelta(seconds=1)

    for kind, patterns in (
        (Filter.LOCALHOST, []),
        (Filter.WEB_CRAWLERS, []),
        (Filter.RELEASES, ["shop@*"]),
        (Filter.MESSAGES, ["*observer*"]),
    ):
        assert queries.preview(sender.app, kind, patterns, now=now).dropped_count == 1
    assert queries.preview(sender.app, Filter.LEGACY_BROWSERS, [], now=now).dropped_count == 0
    assert queries.preview(sender.app, Filter.LOCALHOST, [], now=now + timedelta(days=8)).event_count == 0  # fmt: skip


def test_a_preview_without_events_says_so(sender: Sender, browse: Client) -> None:
    page = browse.post(page_url(sender, "localhost"), {"action": "preview"}).content.decode()

    assert "there is nothing to preview" in page


def test_a_filter_can_be_enabled_changed_and_disabled(sender: Sender, browse: Client) -> None:
    url = page_url(sender, "messages")

    browse.post(url, {"action": "on", "patterns": "*a*\n\n *a* \n*b*"})
    assert InboundFilter.objects.get().patterns == ["*a*", "*b*"]

    browse.post(url, {"action": "on", "patterns": "*c*"})
    assert InboundFilter.objects.get().patterns == ["*c*"]

    browse.post(url, {"action": "off"})
    assert not InboundFilter.objects.exists()
    assert AuditEvent.objects.filter(action="errors:filter-change").count() == 3


@pytest.mark.parametrize(
    ("patterns", "reason"),
    [
        ("", "enter at least one pattern"),
        ("**", "the pattern ** would drop every error"),
        ("\n".join(str(number) for number in range(MAX_PATTERNS + 1)), "at most 100 patterns"),
        ("x" * 201, "more than 200 characters"),
    ],
)
def test_unusable_patterns_are_refused_and_kept_in_the_form(
    sender: Sender, browse: Client, patterns: str, reason: str
) -> None:
    page = browse.post(page_url(sender, "messages"), {"action": "on", "patterns": patterns})

    assert reason in page.content.decode()
    assert patterns in page.content.decode()
    assert not InboundFilter.objects.exists()


def test_counts_are_shown_by_filter_and_day_and_in_the_list(sender: Sender, browse: Client) -> None:
    switch_on(app=sender.app, kind=Filter.LOCALHOST, patterns=[])
    discarded.count(sender.app.pk, Discarded.Source.FILTER, "error", "localhost", 1_234)

    page = browse.get(page_url(sender)).content.decode()
    assert "Dropped in 14 days: 1,234" in page
    assert f"<td>{timezone.now():%Y-%m-%d}</td>" in page

    section = browse.get(f"/admin/apps/{sender.app.pk}/keys/").content.decode()
    assert "1,234" in section
    assert page_url(sender) in section

    listed = browse.get("/admin/errors/discarded/").content.decode()
    assert "Dropped by an inbound filter" in listed


def test_permissions_are_required(sender: Sender, staff_client: Callable[..., Client]) -> None:
    url = page_url(sender)
    assert staff_client("view_errorgroup").get(url).status_code == 403

    user = User.objects.create_user("reader", is_staff=True)
    codenames = ("view_errorgroup", "view_clientapp")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    reader = Client()
    reader.force_login(user)
    page = reader.get(url)
    assert page.status_code == 200
    assert "Switch on" not in page.content.decode()
    assert reader.post(page_url(sender, "localhost"), {"action": "on"}).status_code == 403


def test_an_unknown_filter_or_app_is_a_404(sender: Sender, browse: Client) -> None:
    assert browse.post(page_url(sender, "moon"), {"action": "on"}).status_code == 404
    assert browse.get("/admin/errors/filters/999999/").status_code == 404
