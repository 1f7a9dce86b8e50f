"""Test that every page of the admin opens and shows the portal's texts instead of Django's."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from core.accounts.services.roles import Role, ensure_roles
from core.lib.admin_fields import readable

pytestmark = pytest.mark.django_db
MODELS = sorted(model._meta.label_lower for model in admin.site._registry)
WORDING_OF_DJANGO = re.compile(
    r">\s*Home\s*<|Authentication and Authorization|Django Q|>\s*By \w|Log (?:in|out)\b|icon-(?:yes|no)\.svg"
    r"|:</label>|icon-addlink"
)


@pytest.fixture
def browse(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("olivia"))
    return client


@pytest.mark.parametrize("label", MODELS)
def test_each_list_and_form_opens_and_uses_the_terms_of_the_portal(
    browse: Client, label: str
) -> None:
    name = f"admin:{label.replace('.', '_')}"
    pages = [browse.get(reverse(f"{name}_changelist"), follow=True)]
    form = browse.get(reverse(f"{name}_add"))
    if form.status_code != 403:
        pages.append(form)

    for page in pages:
        assert page.status_code == 200
        assert WORDING_OF_DJANGO.findall(page.content.decode()) == []


def test_the_settings_page_groups_what_a_user_may_see_by_task(browse: Client) -> None:
    page = browse.get("/admin/").content.decode()

    sections = re.findall(r"<h2 id=\"[a-z-]+-title\">([^<]+)</h2>", page)
    assert sections == [
        "Apps",
        "People and access",
        "Alerting",
        "Monitoring",
        "Status page",
        "Payments and reservations",
        "Portal",
    ]
    assert WORDING_OF_DJANGO.findall(page) == []


def test_readers_see_no_settings_of_people_and_no_add_buttons(client: Client) -> None:
    ensure_roles()
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(Group.objects.get(name=Role.READ_ONLY))
    client.force_login(reader)

    page = client.get("/admin/").content.decode()

    assert "Monitors" in page
    assert "Users" not in page
    assert "Channels" not in page
    assert 'aria-label="Add' not in page


def test_the_page_of_an_app_leads_to_the_settings(browse: Client) -> None:
    assert browse.get("/admin/auth/")["Location"] == "/admin/"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("json path", "JSON path"),
        ("latency limit ms", "latency limit (ms)"),
        ("is permanent failure", "permanent failure"),
        ("received at", "received"),
        ("at", "at"),
        ("used percent", "used (%)"),
        ("title", "title"),
    ],
)
def test_labels_are_made_from_the_names_of_fields(name: str, label: str) -> None:
    assert readable(name) == label
