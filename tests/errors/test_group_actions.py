"""Test the actions on a group: resolve, mute, reopen, assign and comment."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts.models import Person, Team
from core.clients.models import ClientApp
from errors.models import ErrorEvent, GroupNote
from tests.errors.stored import NOON, group_of, group_url, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def act(client: Client, event: ErrorEvent, **fields: object) -> str:
    answer = client.post(reverse("errors:group-act", args=[event.group_id]), fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "status", "note"),
    [
        ({"action": "resolve"}, "resolved", ("resolved", "")),
        ({"action": "resolve", "release": "1.3"}, "resolved", ("resolved", "in release 1.3")),
        ({"action": "mute", "hours": 24}, "muted", ("muted", "until 2026-11-23 12:00 UTC")),
        ({"action": "mute", "events": 100}, "muted", ("muted", "until 100 more events")),
        ({"action": "mute", "users": 5}, "muted", ("muted", "until 5 more users")),
        ({"action": "mute"}, "muted", ("muted", "")),
    ],
)
def test_an_action_changes_the_group_and_its_history(
    browse: Client,
    owner: User,
    shop: ClientApp,
    time_machine: "object",
    fields: dict[str, object],
    status: str,
    note: tuple[str, str],
) -> None:
    time_machine.move_to(NOON, tick=False)  # type: ignore[attr-defined]
    event = make_error(shop)

    act(browse, event, **fields)

    assert group_of(event).status == status
    kept = GroupNote.objects.get()
    assert (kept.kind, kept.text) == note
    assert (kept.by, kept.at) == (owner, NOON)


def test_the_conditions_of_a_mute_count_further_events_and_users(
    browse: Client, shop: ClientApp
) -> None:
    make_error(shop, group="g")
    event = make_error(shop, group="g")

    act(browse, event, action="mute", events=100)

    assert group_of(event).muted_until_events == 102


def test_reopening_clears_the_resolution(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)
    act(browse, event, action="resolve", release="1.3")

    act(browse, event, action="reopen")

    group = group_of(event)
    assert (group.status, group.resolved_at, group.resolved_in_release) == ("open", None, "")


def test_resolving_a_group_twice_is_recorded_once(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)

    act(browse, event, action="resolve")
    act(browse, event, action="resolve")

    assert GroupNote.objects.count() == 1


def make_colleague(name: str, *apps: ClientApp) -> User:
    """Create a user who may view errors, and whose team may see only `apps`, or every app if none are given."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_errorgroup"))
    team = Team.objects.create(name=f"Team of {name}")
    team.people.add(Person.objects.create(name=name, user=user))
    team.apps.set(apps)
    return user


def test_only_staff_who_may_see_the_app_can_be_assigned(
    browse: Client, owner: User, shop: ClientApp
) -> None:
    event = make_error(shop)
    make_colleague("everything")
    make_colleague("of-shop", shop)
    other = make_colleague("of-bank", make_app("bank"))
    blind = User.objects.create_user("without-permission", is_staff=True)
    make_colleague("gone", shop)
    User.objects.filter(username="gone").update(is_active=False)

    page = browse.get(group_url(event)).content.decode()
    select = page[page.index('id="user"') :].partition("</select>")[0]
    names = [name.strip() for name in re.findall(r"<option[^>]*>([^<]*)</option>", select)]
    assert names == ["No one", "everything", "of-shop", "owner"]

    for person in (other, blind):
        refused = act(browse, event, action="assign", user=person.pk)
        assert f"{person} is not allowed to see all of these errors" in refused
    assert group_of(event).assigned_to is None


def test_a_group_is_assigned_to_staff_and_unassigned(
    browse: Client, owner: User, shop: ClientApp
) -> None:
    event = make_error(shop)
    colleague = make_colleague("colleague")

    act(browse, event, action="assign", user=colleague.pk)
    assert group_of(event).assigned_to == colleague
    act(browse, event, action="assign", user="")
    assert group_of(event).assigned_to is None
    assert [note.text for note in GroupNote.objects.order_by("pk")] == ["to colleague", "to no one"]


def test_a_comment_is_shown_with_its_author(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)

    page = act(browse, event, action="comment", text="The bank was <down>.\0")

    assert "The bank was &lt;down&gt;." in page
    assert "by owner" in page


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "mute", "events": "many"},
        {"action": "mute", "hours": "-1"},
        {"action": "mute", "users": "9" * 400},
        {"action": "assign", "user": "me"},
        {"action": "comment", "text": "  "},
        {"action": "explode"},
        {},
    ],
)
def test_an_invalid_action_changes_nothing(
    browse: Client, shop: ClientApp, fields: dict[str, object]
) -> None:
    event = make_error(shop)

    assert "Nothing was changed" in act(browse, event, **fields)
    assert group_of(event).status == "open"
    assert not GroupNote.objects.exists()


def test_changing_requires_permission(shop: ClientApp, staff_client: Callable[..., Client]) -> None:
    event = make_error(shop)
    url = reverse("errors:group-act", args=[event.group_id])

    reader = staff_client("view_errorgroup")

    assert reader.post(url, {"action": "resolve"}).status_code == 403
    assert "Comment</button>" not in reader.get(group_url(event)).content.decode()
    assert group_of(event).status == "open"
