"""Test the pages of groups and events."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts.models import Person, Team
from core.clients.models import ClientApp
from errors.models import ErrorEvent, ErrorGroup, EventPayload, GroupNote, GroupUser, UserReport
from tests.errors.stored import NOON, group_of, make_error
from tests.factories import make_app, make_payment

pytestmark = pytest.mark.django_db


def group_url(event: ErrorEvent) -> str:
    return reverse("errors:group-detail", args=[event.group_id])


def event_url(event: ErrorEvent) -> str:
    return reverse("errors:event-detail", args=[event.group_id, event.pk])


def act(client: Client, event: ErrorEvent, **fields: object) -> str:
    answer = client.post(reverse("errors:group-act", args=[event.group_id]), fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_group_page_shows_all_facts_about_the_group(browse: Client, shop: ClientApp) -> None:
    make_error(shop, group="g", user_key="u-1", release="1.1", environment="production")
    event = make_error(
        shop,
        group="g",
        user_key="u-2",
        release="1.2",
        environment="production",
        tags=(("browser", "Firefox 133"),),
        received_at=NOON + timedelta(minutes=5),
    )

    page = browse.get(group_url(event)).content.decode()

    for shown in ("PaymentDeclined: card was declined", "shop.checkout in confirm", "Shop"):
        assert shown in page
    for shown in ("raise PaymentDeclined(reason)", "HTTPError", "SELECT 1", "Firefox 133"):
        assert shown in page
    for shown in ("u-1", "u-2", "production", "in 1.1", "in 1.2", "12:05:00 UTC"):
        assert shown in page


@pytest.mark.parametrize("span", ["24h", "7d", "30d", "nonsense"])
def test_the_chart_counts_events_in_every_span(
    browse: Client, shop: ClientApp, span: str, time_machine: "object"
) -> None:
    time_machine.move_to(NOON + timedelta(minutes=30), tick=False)  # type: ignore[attr-defined]
    make_error(shop, group="g", received_at=NOON - timedelta(hours=3))
    event = make_error(shop, group="g")

    chart = browse.get(f"{group_url(event)}?range={span}").context["chart"]

    assert sum(value or 0 for value in chart.series[0].values) == 2


def test_everything_an_app_sends_is_escaped(browse: Client, shop: ClientApp) -> None:
    evil = "<script>alert(1)</script>"
    event = make_error(
        shop,
        title=evil,
        culprit=evil,
        user_key=evil,
        release=evil,
        environment=evil,
        tags=((evil[:60], evil),),
        payload={
            "exception": {"values": [{"type": evil, "value": evil, "module": evil}]},
            "breadcrumbs": {"values": [{"message": evil, "category": evil, "data": {evil: evil}}]},
            "request": {"url": evil, "headers": {evil: evil}, "data": evil},
            "contexts": {evil: {evil: evil}},
            "extra": {evil: evil},
            "tags": {evil: evil},
            "user": {"id": evil},
        },
    )

    for url in (group_url(event), event_url(event), "/admin/errors/?state=all"):
        assert evil not in browse.get(url).content.decode()


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


def test_resolving_twice_is_recorded_once(browse: Client, shop: ClientApp) -> None:
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


def test_only_staff_who_may_see_the_app_are_offered_and_accepted(
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
        assert f"{person} is not allowed to see the errors of this app" in refused
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


def test_group_and_event_show_the_orders_that_they_affect(browse: Client, shop: ClientApp) -> None:
    payment = make_payment(order_id="o-1", amount=4200, status="processing")
    event = make_error(shop, payment_ref=payment.intent_id)

    for url in (group_url(event), event_url(event)):
        page = browse.get(url).content.decode()
        assert "Business impact" in page
        assert "1 order, 42.00 EUR at risk" in page
    assert reverse("payments:payment-page", args=[payment.uuid]) in page


def test_the_event_page_shows_the_whole_payload(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop, request_id="req-12345", order_ref="o-1", environment="staging")
    UserReport.objects.create(
        app=shop, event_id=event.event_id, message="It ate my money", received_at=NOON
    )

    page = browse.get(event_url(event)).content.decode()

    for shown in ("PaymentDeclined", "HTTPError", "&lt;Order #7&gt;", "https://shop.example/pay"):
        assert shown in page
    for shown in ("req-12345", "o-1", "staging", "CPython", "Accept", "It ate my money"):
        assert shown in page


def test_the_event_page_links_to_the_newer_and_the_older_event(
    browse: Client, shop: ClientApp
) -> None:
    first, middle, last = (
        make_error(shop, group="g", received_at=NOON + timedelta(minutes=n)) for n in range(3)
    )
    make_error(shop, group="other", received_at=NOON + timedelta(minutes=1))

    around = browse.get(event_url(middle)).context["around"]

    assert (around.newer, around.older) == (last.pk, first.pk)


def test_an_event_downloads_as_harmless_json(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)

    answer = browse.get(reverse("errors:event-raw", args=[event.group_id, event.pk]))

    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert json.loads(answer.content)["tags"] == {"browser": "Firefox 133"}


def test_the_page_of_an_event_without_payload_shows_its_columns(
    browse: Client, shop: ClientApp
) -> None:
    event = make_error(shop, request_id="req-12345")
    EventPayload.objects.all().delete()

    assert "req-12345" in browse.get(event_url(event)).content.decode()
    assert browse.get(event_url(event) + "json/").status_code == 404


def test_a_group_without_events_keeps_its_counts(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)
    EventPayload.objects.all().delete()
    ErrorEvent.objects.all().delete()

    page = browse.get(group_url(event)).content.decode()

    assert "No events left" in page


def test_a_merged_group_redirects_to_the_kept_group(browse: Client, shop: ClientApp) -> None:
    event, target = make_error(shop), make_error(shop)
    ErrorGroup.objects.filter(pk=event.group_id).update(merged_into=target.group_id)

    assert browse.get(group_url(event))["Location"] == group_url(target)


def test_all_events_of_a_group_can_be_paged_through(browse: Client, shop: ClientApp) -> None:
    events = [
        make_error(shop, group="g", received_at=NOON + timedelta(seconds=n)) for n in range(52)
    ]
    url = reverse("errors:event-list", args=[events[0].group_id])

    first = browse.get(url)
    second = browse.get(first.context["next_url"])

    shown = [*first.context["events"], *second.context["events"]]
    assert [event.pk for event in shown] == [event.pk for event in reversed(events)]


def test_an_event_is_not_shown_under_another_group(browse: Client, shop: ClientApp) -> None:
    event, other = make_error(shop), make_error(shop)

    url = reverse("errors:event-detail", args=[other.group_id, event.pk])

    assert browse.get(url).status_code == 404


def test_ids_beyond_the_range_of_the_database_are_not_found(browse: Client) -> None:
    assert browse.get(f"/admin/errors/{10**30}/").status_code == 404
    assert browse.get(f"/admin/errors/1/events/{10**30}/").status_code == 404


def test_pages_need_a_limited_number_of_queries(
    browse: Client, shop: ClientApp, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(15):
        event = make_error(shop, group="g", user_key=f"u-{number}", order_ref=f"o-{number}")

    # The first request applies the waiting changes to orders, so that the counted requests need no queries for them.
    browse.get(group_url(event))

    with django_assert_max_num_queries(34):  # type: ignore[attr-defined]
        browse.get(group_url(event))
    with django_assert_max_num_queries(18):  # type: ignore[attr-defined]
        browse.get(event_url(event))


@pytest.mark.parametrize("name", ["group-detail", "event-list", "event-detail", "event-raw"])
def test_viewing_requires_permission(
    shop: ClientApp, staff_client: Callable[..., Client], name: str
) -> None:
    event = make_error(shop)
    arguments = (
        [event.group_id, event.pk] if name in ("event-detail", "event-raw") else [event.group_id]
    )
    url = reverse(f"errors:{name}", args=arguments)

    assert staff_client().get(url).status_code == 403
    assert staff_client("view_errorgroup").get(url).status_code == 200


def test_changing_requires_permission(shop: ClientApp, staff_client: Callable[..., Client]) -> None:
    event = make_error(shop)
    url = reverse("errors:group-act", args=[event.group_id])

    reader = staff_client("view_errorgroup")

    assert reader.post(url, {"action": "resolve"}).status_code == 403
    assert "Comment</button>" not in reader.get(group_url(event)).content.decode()
    assert group_of(event).status == "open"


@pytest.mark.parametrize("path", ["errorgroup/", "discarded/", "userreport/"])
def test_the_admin_lists_models_without_pages_and_redirects_to_the_group_pages(
    browse: Client, path: str
) -> None:
    assert browse.get(f"/admin/errors/{path}", follow=True).status_code == 200


def test_all_tags_and_values_are_on_a_page_of_their_own(browse: Client, shop: ClientApp) -> None:
    for number in range(9):
        tags = ((f"tag-{number}", "x"), ("browser", f"Firefox {number}"))
        event = make_error(shop, group="same", tags=tags)

    page = browse.get(f"/admin/errors/{event.group_id}/").content.decode()
    assert "Firefox 8" not in page or "Firefox 0" not in page  # The page shows only six values.
    everything = browse.get(f"/admin/errors/{event.group_id}/tags/").content.decode()

    assert f'href="/admin/errors/{event.group_id}/tags/"' in page
    assert all(f"Firefox {number}" in everything for number in range(9))
    assert "?q=browser%3A%22Firefox+3%22" in everything


def test_all_affected_users_are_listed_page_by_page(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop, group="same", user_key="u-000")
    GroupUser.objects.bulk_create(
        GroupUser(group_id=event.group_id, user_key=f"u-{number:03}") for number in range(1, 150)
    )
    ErrorGroup.objects.filter(pk=event.group_id).update(user_count=150)
    url = f"/admin/errors/{event.group_id}/users/"
    assert f'href="{url}"' in browse.get(f"/admin/errors/{event.group_id}/").content.decode()

    first = browse.get(url)
    second = browse.get(first.context["next_url"])

    keys = [user["key"] for page in (first, second) for user in page.context["users"]]
    assert keys == [f"u-{number:03}" for number in range(150)]
    assert not second.context["next_url"]
