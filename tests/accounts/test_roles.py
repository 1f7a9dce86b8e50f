"""Test the built-in groups, and the command that resets a user's sign-in."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from core.accounts.models import AuditEvent
from core.accounts.services import roles, two_factor
from core.accounts.services.roles import Role, ensure_roles
from tests.accounts.sign_in.support import enrolled

pytestmark = pytest.mark.django_db


def member_of(role: str) -> User:
    user = User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture(autouse=True)
def groups() -> None:
    ensure_roles()


def test_ensuring_the_roles_again_restores_removed_permissions() -> None:
    before = {group.name: group.permissions.count() for group in Group.objects.all()}
    Group.objects.get(name=Role.STAFF).permissions.clear()

    ensure_roles()

    assert {group.name: group.permissions.count() for group in Group.objects.all()} == before
    assert set(before) == {Role.OWNER, Role.STAFF, Role.READ_ONLY}


def test_read_only_users_see_operational_data_and_cannot_change_anything() -> None:
    user = member_of(Role.READ_ONLY)

    assert user.has_perm("jobs.view_job")
    assert user.has_perm("clients.view_clientapp")
    assert {p.split(".")[1].split("_")[0] for p in user.get_all_permissions()} == {"view"}
    for may_not in ("alerts.view_channel", "alerts.view_person", "health.view_subscriber"):
        assert not user.has_perm(may_not), may_not
    assert not user.has_module_perms("auth")
    assert not user.has_module_perms("access")


def test_staff_cannot_change_settings_keys_and_users() -> None:
    user = member_of(Role.STAFF)

    for may in (
        "alerts.change_systemalert",
        "errors.change_errorgroup",
        "health.add_incident",
        "jobs.run_job",
        "jobs.view_jobrun",
    ):
        assert user.has_perm(may), may
    for may_not in (
        "alerts.change_alertrule", "alerts.change_channel", "clients.change_clientapp", "clients.add_apikey",
        "clients.change_clientkey", "jobs.change_job", "limits.change_ratelimittier", "auth.change_user",
        "auth.view_user", "access.view_auditevent", "access.change_accesspolicy",
    ):  # fmt: skip
        assert not user.has_perm(may_not), may_not


def test_owners_have_all_permissions_except_internal_ones() -> None:
    user = member_of(Role.OWNER)

    for may in (
        "auth.change_user",
        "access.view_auditevent",
        "clients.add_apikey",
        "jobs.change_job",
    ):
        assert user.has_perm(may), may
    assert not user.has_module_perms("django_q")
    assert not user.has_module_perms("otp_totp")


def test_each_permission_pattern_matches_a_permission() -> None:
    named = [roles._full_name(p) for p in Permission.objects.select_related("content_type")]

    for pattern in (*roles.STAFF_PERMISSIONS, *roles._OWNERS_ONLY):
        assert any(roles._matches(name, (pattern,)) for name in named), pattern


@pytest.mark.parametrize("role", [Role.OWNER, Role.STAFF, Role.READ_ONLY])
def test_each_role_can_open_the_start_page(client: Client, role: str) -> None:
    client.force_login(member_of(role))

    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/two-factor/").status_code == 200


def test_a_sign_in_is_reset_on_the_command_line(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    user = User.objects.create_superuser("anna", "anna@shop.example", "forgotten-horse")
    enrolled(user)
    client.force_login(user)

    call_command("resetlogin", "anna")

    printed = capsys.readouterr().out
    password = re.search(r"New password of anna: (\w{16})", printed)
    assert password
    assert "Two-factor sign-in is turned off." in printed
    user.refresh_from_db()
    assert user.check_password(password[1])
    assert two_factor.device_of(user) is None
    assert client.get("/admin/").status_code == 302
    assert AuditEvent.objects.filter(action="sign-in reset on the command line").exists()


def test_the_second_factor_alone_can_be_reset() -> None:
    user = User.objects.create_superuser("anna", "anna@shop.example", "kept-horse-battery")
    enrolled(user)

    call_command("resetlogin", "anna", "--keep-password")

    user.refresh_from_db()
    assert user.check_password("kept-horse-battery")
    assert two_factor.device_of(user) is None


def test_an_unknown_user_name_is_reported_with_the_known_ones() -> None:
    User.objects.create_superuser("anna", password="x")

    with pytest.raises(CommandError, match="there is no user 'bob'; members of staff: anna"):
        call_command("resetlogin", "bob")
