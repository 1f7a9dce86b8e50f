"""Test the errors that the system-health page lists for a selected interval of the timeline."""

from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from core.clients.models import ClientApp
from tests.errors.stored import make_error

pytestmark = pytest.mark.django_db


def test_an_interval_names_the_code_of_its_errors_and_links_to_the_list_of_them(
    browse: Client, shop: ClientApp
) -> None:
    now = timezone.now()
    make_error(shop, title="long ago", received_at=now - timedelta(days=1))
    for _ in range(2):
        make_error(shop, group="a", title="SoldOut: no seat left", received_at=now)
    since, until = (int((now + timedelta(minutes=by)).timestamp()) for by in (-5, 5))

    page = browse.get(
        "/admin/system-health/interval/", {"since": since, "until": until}
    ).content.decode()

    assert "SoldOut: no seat left, shop.checkout in confirm</a>" in page
    [link] = [part for part in unescape(page).split('"') if part.startswith("/admin/errors/?")]
    listed = browse.get(link)
    assert [row["group"].title for row in listed.context["rows"]] == ["SoldOut: no seat left"]
