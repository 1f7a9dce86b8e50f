"""Test the button on an app's page that reports a test error for the app."""

import pytest
from django.test import Client

from core.clients.models import ClientApp
from errors.models import ErrorGroup
from errors.services.sample_error import TITLE
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db


def test_the_button_stores_an_error_of_the_app_and_shows_it(sender: Sender, browse: Client) -> None:
    keys = browse.get(f"/admin/apps/{sender.app.pk}/keys/").content.decode()
    assert f'action="/admin/errors/sample/{sender.app.pk}/"' in keys

    for _ in range(2):
        answer = browse.post(f"/admin/errors/sample/{sender.app.pk}/", follow=True)

    group = ErrorGroup.objects.get(app=sender.app)
    assert answer.redirect_chain[-1][0] == f"/admin/errors/{group.pk}/"
    assert TITLE in answer.content.decode()
    assert (group.event_count, group.severity) == (2, "info")


def test_a_disabled_app_has_no_button(sender: Sender, browse: Client) -> None:
    ClientApp.objects.filter(pk=sender.app.pk).update(is_active=False)

    page = browse.get(f"/admin/apps/{sender.app.pk}/keys/").content.decode()

    assert "Send a test error" not in page
