"""Test that lists, forms and the settings page name things the same way, and that empty lists say what to do."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("owner", "", ""))
    return client


def text_of(client: Client, path: str) -> str:
    return client.get(path, follow=True).content.decode()


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/admin/auth/group/", "Roles"),
        ("/admin/health/component/", "Checks"),
        ("/admin/django_q/ormq/", "Waiting tasks"),
        ("/admin/access/auditevent/", "Audit log"),
        ("/admin/errors/discarded/", "Discarded reports"),
    ],
)
def test_a_list_has_the_title_of_its_link_on_the_settings_page(
    owner: Client, path: str, title: str
) -> None:
    assert f'href="{path}">{title}</a>' in text_of(owner, "/admin/")
    page = text_of(owner, path)
    assert f"<h1>{title}</h1>" in page
    assert f'<span aria-current="page">{title}</span>' in page


def test_the_form_of_a_role_does_not_call_it_a_group(owner: Client) -> None:
    page = text_of(owner, "/admin/auth/group/add/")

    assert "<h1>Add role</h1>" in page
    assert "group" not in page.split('id="content"', 1)[1].split("<form", 1)[0].lower()


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/admin/access/accesspolicy/", "Sign-in policy"),
        ("/admin/health/statuspage/", "Appearance"),
    ],
)
def test_a_single_row_is_neither_added_nor_listed(owner: Client, path: str, title: str) -> None:
    page = text_of(owner, path)

    assert f"<h1>{title}</h1>" in page
    assert "Save and add another" not in page


def test_an_empty_list_says_what_it_is_for_and_offers_the_form(owner: Client) -> None:
    page = text_of(owner, "/admin/alerts/dependency/")

    assert "No entries yet" in page
    assert "Alerts that send no messages while the alert about their cause is active." in page
    assert 'href="/admin/alerts/dependency/add/"' in page
    assert "0 dependencies" not in page
    assert "Run the selected action" not in page


def test_a_search_without_results_offers_all_entries(owner: Client) -> None:
    page = text_of(owner, "/admin/alerts/alerttype/?q=nothing-like-this")

    assert "Nothing found" in page
    assert 'href="/admin/alerts/alerttype/"' in page


def test_rules_are_listed_by_their_titles(owner: Client) -> None:
    page = text_of(owner, "/admin/alerts/alertrule/")

    assert "Critical errors<br>" in page
    assert ">High error rate</td>" in page
    assert "Is enabled" not in page


def test_headings_of_lists_have_no_technical_names_and_keep_the_checkbox(owner: Client) -> None:
    page = text_of(owner, "/admin/limits/ratelimittier/")

    assert '<input type="checkbox" id="action-toggle"' in page
    assert "Is enabled" not in page


def test_a_choice_without_options_names_what_is_missing(owner: Client) -> None:
    page = text_of(owner, "/admin/alerts/alerttype/add/")

    assert "There are no channels yet." in page


def test_help_texts_use_the_labels_of_the_form(owner: Client) -> None:
    page = text_of(owner, "/admin/health/heartbeat/add/")

    assert "Leave empty to derive the identifier from the name." in page
    assert "slug from" not in page


def test_the_inputs_of_lists_have_labels_for_screen_readers(owner: Client) -> None:
    page = text_of(owner, "/admin/limits/ratelimittier/")

    assert re.search(r'name="form-0-window_seconds"[^>]*aria-label="Window \(seconds\)"', page)
    assert re.search(
        r'id="searchbar"[^>]*aria-label="Search"', text_of(owner, "/admin/access/auditevent/")
    )
