"""Test pages that begin after the last row of the previous page."""

import pytest

from core.clients.models import ClientApp
from core.lib.keyset import keyset_page

pytestmark = pytest.mark.django_db


def pages(size: int) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        page = keyset_page(
            ClientApp.objects.all(), field="retention_days", cursor=cursor, size=size
        )
        found.append([app.slug for app in page.rows])
        cursor = page.next_cursor
        if not cursor:
            return found


def test_pages_have_no_gaps_or_repeats_even_among_ties() -> None:
    for number, days in enumerate([30, 7, 30, 30, 90]):
        ClientApp.objects.create(name=f"App {number}", slug=f"app-{number}", retention_days=days)

    assert pages(2) == [["app-4", "app-3"], ["app-2", "app-0"], ["app-1"]]


def test_a_full_last_page_has_no_next_page() -> None:
    ClientApp.objects.create(name="A", slug="a")
    ClientApp.objects.create(name="B", slug="b")

    assert pages(2) == [["b", "a"]]


@pytest.mark.parametrize("cursor", ["nonsense", "~", "30~", "x~1", "9" * 5000 + "~1", "30~\x00"])
def test_an_invalid_cursor_returns_the_first_page(cursor: str) -> None:
    ClientApp.objects.create(name="A", slug="a")

    page = keyset_page(ClientApp.objects.all(), field="retention_days", cursor=cursor, size=5)

    assert [app.slug for app in page.rows] == ["a"]
