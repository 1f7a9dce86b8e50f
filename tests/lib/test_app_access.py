"""Test which apps a person may see, and that queries on the person's behalf return only rows of these apps."""

from collections.abc import Iterable

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.http import HttpRequest, StreamingHttpResponse
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries

from alerts.models import AlertEvent, Notification, Person, SystemAlert, Team
from core.accounts.middleware import AppAccessMiddleware
from core.accounts.services.roles import Role, ensure_roles
from core.clients.models import ClientApp
from core.lib.app_access import condition_of, limit, path_to_app, reading_as, visible_apps
from health.models import Certificate, CheckResult, Component, Monitor
from payments.models import Payment, WebhookEvent
from tests.factories import make_alert, make_app, make_component, make_monitor, make_webhook_event

pytestmark = pytest.mark.django_db


def make_user(name: str = "bob", *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def put_in_team(user: User, *slugs: str) -> None:
    person, _ = Person.objects.get_or_create(user=user, defaults={"name": user.username})
    team = Team.objects.create(name=f"Team {Team.objects.count()}")
    team.people.add(person)
    team.apps.set(ClientApp.objects.filter(slug__in=slugs))


EVERY, TEAM_ONLY = "see_every_app", "see_team_apps_only"


@pytest.mark.parametrize(
    ("permissions", "teams", "seen"),
    [
        ([], [], None),  # A person without a team sees every app.
        ([], [[]], None),  # A team without apps does not limit its members.
        ([], [["shop"]], {"shop"}),
        ([], [["shop"], ["bank"]], {"shop", "bank"}),
        ([], [["shop"], []], {"shop"}),
        ([TEAM_ONLY], [], set()),
        ([TEAM_ONLY], [[]], set()),
        ([TEAM_ONLY], [["shop"]], {"shop"}),
        ([EVERY], [["shop"]], None),
        ([EVERY, TEAM_ONLY], [["shop"]], None),
    ],
)
def test_a_person_sees_the_apps_of_all_own_teams_unless_the_role_sees_every_app(
    permissions: list[str], teams: list[list[str]], seen: set[str] | None
) -> None:
    for slug in ("shop", "bank", "gate"):
        make_app(slug)
    user = make_user("bob", *permissions)
    for slugs in teams:
        put_in_team(user, *slugs)

    apps = visible_apps(user)

    if seen is None:
        assert apps is None
    else:
        assert apps is not None  # None would mean every app.
        assert set(ClientApp.objects.filter(pk__in=apps).values_list("slug", flat=True)) == seen


def test_owners_and_superusers_see_every_app_regardless_of_their_team() -> None:
    make_app("shop")
    ensure_roles()
    owner, superuser = make_user("owner"), User.objects.create_superuser("root")
    owner.groups.add(Group.objects.get(name=Role.OWNER))
    for user in (owner, superuser):
        put_in_team(user, "shop")

    assert visible_apps(owner) is None
    assert visible_apps(superuser) is None
    assert visible_apps(AnonymousUser()) is None


@pytest.mark.parametrize("role", [Role.STAFF, Role.READ_ONLY])
def test_the_apps_of_all_other_roles_depend_on_their_teams(role: str) -> None:
    make_app("shop")
    ensure_roles()
    user = make_user()
    user.groups.add(Group.objects.get(name=role))
    assert visible_apps(user) is None

    put_in_team(user, "shop")

    assert len(visible_apps(User.objects.get(pk=user.pk)) or ()) == 1


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (ClientApp, "pk"),
        (Payment, "app"),
        (WebhookEvent, "payment__app"),
        (AlertEvent, "alert__app"),
        (Monitor, "app"),
        (CheckResult, "component"),
        (Team, ""),
    ],
)
def test_a_model_leads_to_its_app_by_its_relations(model: type, path: str) -> None:
    assert path_to_app(model)[0] == path


def test_rows_without_an_app_are_shared_and_rows_of_an_unknown_app_are_not() -> None:
    shop, bank = make_app("shop"), make_app("bank")
    for title, app in (("shop's", shop), ("bank's", bank), ("shared", None)):
        make_alert(title=title, app=app)
    make_webhook_event()  # An event about a payment that was not created through the portal.
    user = make_user()
    put_in_team(user, "shop")

    with reading_as(lambda: user):
        alerts = limit(SystemAlert.objects.order_by("pk")).values_list("title", flat=True)
        assert list(alerts) == ["shop's", "shared"]
        assert not limit(WebhookEvent.objects.all()).exists()
        assert not limit(Notification.objects.all()).exists()
    assert limit(SystemAlert.objects.all()).count() == 3


def test_certificates_belong_to_the_apps_of_the_monitors_of_their_address() -> None:
    shop, bank = make_app("shop"), make_app("bank")
    users: dict[str, list[ClientApp | None]] = {
        "a.example": [shop],
        "b.example": [bank],
        "c.example": [shop, bank],
        "d.example": [bank, None],
    }
    for host, apps in users.items():
        for app in apps:
            make_monitor(f"https://{host}/", app=app)
        Certificate.objects.create(
            kind="certificate", name=host.replace(".", "-"), title=host, host=host
        )
    make_component("database")
    user = make_user()
    put_in_team(user, "shop")

    with reading_as(lambda: user):
        shown = set(
            limit(Component.objects.exclude(kind="monitor")).values_list("title", flat=True)
        )
        assert set(limit(Certificate.objects.all()).values_list("title", flat=True)) == shown - {
            "database"
        }

    assert shown == {"a.example", "c.example", "d.example", "database"}


def test_the_apps_of_a_reader_are_looked_up_once_and_only_if_needed(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    user = make_user()
    with django_assert_num_queries(0), reading_as(lambda: user):
        pass
    with reading_as(lambda: user):
        limit(Payment.objects.all())
        with django_assert_num_queries(0):
            limit(Payment.objects.all())
            limit(SystemAlert.objects.all())


def test_a_streamed_response_is_limited_like_the_view_that_made_it() -> None:
    make_app("shop")
    make_app("bank")
    user = make_user()
    put_in_team(user, "shop")

    def lines() -> Iterable[bytes]:
        yield from (app.slug.encode() for app in limit(ClientApp.objects.all()))

    def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(lines())

    request = RequestFactory().get("/")
    request.user = user
    response = AppAccessMiddleware(view)(request)

    assert isinstance(response, StreamingHttpResponse)
    assert response.getvalue() == b"shop"


def test_a_model_without_an_app_needs_no_condition() -> None:
    assert condition_of(Team, frozenset([1])) is None
