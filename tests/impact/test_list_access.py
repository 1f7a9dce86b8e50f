"""Test which users may see the orders of a problem and the win-back lists."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts.models import Person, Team
from impact.models import WinBackEntry, WinBackList
from tests.errors.stored import make_error
from tests.factories import make_app
from tests.impact.support import shop

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LISTS = ("impact:list", "impact:list-csv")


def make_user(*permissions: str) -> User:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_list(problem: int) -> WinBackList:
    found = WinBackList.objects.create(title="t", kind="group", problem=problem, created_at=NOON)
    WinBackEntry.objects.create(
        list=found, order_key="order:o-1", customer="u-lost", amount=1, currency="EUR", seats=1
    )
    return found


@pytest.mark.parametrize("name", LISTS)
def test_a_list_about_another_app_or_a_deleted_problem_is_hidden_from_a_team(name: str) -> None:
    user = make_user("view_winbacklist", "view_errorgroup", "see_team_apps_only")
    team = Team.objects.create(name="Shop")
    team.people.add(Person.objects.create(user=user, name="Eve"))
    own = make_error(shop())
    team.apps.add(own.app)
    other = make_error(make_app())
    lists = [make_list(event.group_id) for event in (own, other)] + [make_list(999_999)]
    client = client_of(user)

    statuses = [client.get(reverse(name, args=[one.pk])).status_code for one in lists]

    assert statuses == [200, 404, 404]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_about_a_deleted_problem_is_shown_to_users_who_see_every_app(name: str) -> None:
    client = client_of(make_user("view_winbacklist", "see_every_app"))

    assert client.get(reverse(name, args=[make_list(999_999).pk])).status_code == 200


@pytest.mark.parametrize("name", ["impact:orders", "impact:orders-csv"])
def test_the_orders_of_an_error_require_the_permission_to_see_errors(name: str) -> None:
    url = reverse(name, args=["group", make_error(shop()).group_id])
    user = make_user("view_order", "see_every_app")
    assert client_of(user).get(url).status_code == 403

    user.user_permissions.add(Permission.objects.get(codename="view_errorgroup"))

    assert client_of(user).get(url).status_code == 200


@pytest.mark.parametrize("name", ["impact:orders", "impact:orders-csv"])
def test_the_permission_to_see_errors_does_not_include_orders(name: str) -> None:
    url = reverse(name, args=["group", make_error(shop()).group_id])

    user = make_user("view_errorgroup", "see_every_app")

    assert client_of(user).get(url).status_code == 403


def test_the_permission_to_see_orders_does_not_include_creating_lists() -> None:
    url = reverse("impact:write-list", args=["group", make_error(shop()).group_id])

    user = make_user("view_order", "view_errorgroup", "see_every_app")

    assert client_of(user).post(url).status_code == 403
    assert not WinBackList.objects.exists()


@pytest.mark.parametrize("after", ["9" * 19, "9" * 40, "-1", "x"])
def test_an_invalid_page_number_shows_the_first_orders(after: str, admin_client: Client) -> None:
    url = reverse("impact:orders", args=["group", make_error(shop()).group_id])

    assert admin_client.get(url, {"after": after}).status_code == 200
