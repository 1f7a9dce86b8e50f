"""Test that the event page shows original and minified frames, and says which source maps are missing."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from errors.models import ErrorEvent, ResolvedStack
from errors.services import resolution
from errors.store import to_resolve
from tests.errors.source_maps.built import Build, Cli
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db
BUILD = Build(debug_id="6d9e271d-ffad-5b97-a13d-8954e7fe7f2b")


@pytest.fixture
def event(cli: Cli) -> ErrorEvent:
    cli.upload(BUILD.archive())
    to_resolve.clear()
    Sender(cli.app).send(BUILD.event())
    return ErrorEvent.objects.get()


def page(browse: Client, event: ErrorEvent, query: str = "") -> str:
    event.refresh_from_db()
    url = reverse("errors:event-detail", args=[event.group_id, event.pk])
    answer = browse.get(url + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_says_that_frames_are_being_looked_up(browse: Client, event: ErrorEvent) -> None:
    html = page(browse, event)

    assert "The original frames are being resolved." in html
    assert "static/app.js" in html


def test_the_page_switches_between_original_and_minified_frames(
    browse: Client, event: ErrorEvent
) -> None:
    resolution.resolve_pending(now=timezone.now())

    original, minified = page(browse, event), page(browse, event, "?frames=minified")

    assert "src/cart.js" in original
    assert "return cart.total + item.offer.price;" in original
    assert "static/app.js" not in original
    assert "static/app.js" in minified
    assert "src/cart.js" not in minified
    assert 'href="?frames=minified#frames"' in original
    assert 'href="?frames=original#frames"' in minified


def test_the_group_page_shows_the_original_frames(browse: Client, event: ErrorEvent) -> None:
    resolution.resolve_pending(now=timezone.now())

    html = browse.get(reverse("errors:group-detail", args=[event.group_id])).content.decode()

    assert "src/cart.js in addToCart" in html
    assert "return cart.total + item.offer.price;" in html


def test_the_page_names_missing_source_maps(browse: Client, cli: Cli, event: ErrorEvent) -> None:
    Sender(cli.app).send(Build().event(release="shop@<b>1.0"))
    other = ErrorEvent.objects.latest("pk")
    resolution.resolve_pending(now=timezone.now())

    html = page(browse, other)

    assert "1\n          source map missing" in html
    assert "No source map for app.js was uploaded for release shop@&lt;b&gt;1.0." in html


def test_the_page_of_an_app_without_source_maps_does_not_mention_them(
    browse: Client, cli: Cli
) -> None:
    Sender(cli.app).send(Build().event())

    assert 'id="frames"' not in page(browse, ErrorEvent.objects.get())


def test_without_a_readable_stack_the_page_shows_the_minified_frames(
    browse: Client, event: ErrorEvent
) -> None:
    resolution.resolve_pending(now=timezone.now())
    ResolvedStack.objects.update(data=b"broken")

    html = page(browse, event)

    assert "static/app.js" in html
    assert "The original frames cannot be read." in html
