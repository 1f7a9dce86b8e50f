"""Test that errors can be changed and deleted with the API, and deleted on their pages."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Sum
from django.test import Client

from alerts.models import Person, Team
from core.accounts.models import AuditEvent
from core.clients.models import ClientApp
from errors.models import (
    ErrorEvent,
    ErrorGroup,
    EventDeletion,
    EventPayload,
    GroupHash,
    GroupHour,
    GroupTag,
    GroupUser,
    SeenEvent,
    Status,
)
from errors.services import deletion, merging, record_events
from errors.store.groups import group_cache
from tests.errors.stored import NOON, new_error, record_group
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def act(client: Client, **given: Any) -> Any:
    body = json.dumps(given)
    return client.post("/api/v1/error-groups/act/", body, content_type="application/json")


@pytest.mark.parametrize("name", ["nobody", "blind", "of-bank", "left"])
def test_errors_can_be_assigned_only_to_staff_who_may_see_them(
    shop: ClientApp, writer: Client, name: str
) -> None:
    for one in ("blind", "of-bank", "left"):
        user = User.objects.create_user(one, is_staff=True, is_active=one != "left")
        if one != "blind":
            user.user_permissions.set(Permission.objects.filter(codename="view_errorgroup"))
        team = Team.objects.create(name=f"Team of {one}")
        team.people.add(Person.objects.create(name=one, user=user))
        team.apps.set([make_app("bank")] if one == "of-bank" else [])
    group = record_group(shop)

    refused = act(writer, action="assign", groups=[group.pk], to=name)

    assert refused.status_code == 422
    assert "`to` " in refused.json()["detail"]
    group.refresh_from_db()
    assert group.assigned_to is None


def test_errors_are_resolved_muted_assigned_reopened_and_commented_on(
    shop: ClientApp, writer: Client
) -> None:
    person = User.objects.create_user("ann", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="view_errorgroup"))
    one, two = record_group(shop), record_group(shop)
    ids = [one.pk, two.pk]

    assert act(writer, action="resolve", groups=ids, release="1.2").json() == {"changed": 2, "kept": None}  # fmt: skip
    assert set(ErrorGroup.objects.values_list("status", "resolved_in_release")) == {("resolved", "1.2")}  # fmt: skip
    assert act(writer, action="reopen", groups=[one.pk]).json()["changed"] == 1
    assert act(writer, action="mute", groups=[one.pk], hours=2, events=5).json()["changed"] == 1
    one.refresh_from_db()
    assert (one.status, one.muted_until_events) == (Status.MUTED, one.event_count + 5)
    assert act(writer, action="assign", groups=[one.pk], to="ann").json()["changed"] == 1
    one.refresh_from_db()
    assert one.assigned_to == person
    assert act(writer, action="assign", groups=[one.pk]).json()["changed"] == 1
    assert act(writer, action="comment", groups=[one.pk], text="known").json()["changed"] == 1

    assert one.notes.filter(kind="comment", text="known", by=None).exists()
    entry = AuditEvent.objects.filter(action="errors.errorgroup resolve").get()
    assert entry.target == f"groups {one.pk}, {two.pk}"
    assert entry.detail.startswith("with the API key ops_")
    assert entry.detail.endswith("of shop")


def test_errors_are_merged_and_unmerged(shop: ClientApp, writer: Client) -> None:
    one, two = record_group(shop), record_group(shop)

    merged = act(writer, action="merge", groups=[one.pk, two.pk]).json()
    assert merged["kept"] in (one.pk, two.pk)
    [other] = {one.pk, two.pk} - {merged["kept"]}
    assert act(writer, action="merge", groups=[merged["kept"]]).status_code == 422

    assert act(writer, action="unmerge", groups=[other]).json()["changed"] == 1
    assert ErrorGroup.objects.visible().count() == 2


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"action": "explode", "groups": [1]}, 422),
        ({"action": "resolve", "groups": []}, 422),
        ({"action": "resolve", "groups": [1] * 101}, 422),
        ({"action": "resolve", "groups": [99_999_999]}, 404),
        ({"action": "resolve", "groups": [2**63]}, 422),
        ({"action": "resolve", "groups": [1], "whatever": 1}, 422),
        ({"action": "mute", "groups": [1], "hours": 0}, 422),
    ],
)
def test_invalid_actions_are_refused(writer: Client, given: dict[str, Any], status: int) -> None:
    answer = act(writer, **given)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


def test_unknown_people_and_empty_comments_are_refused(shop: ClientApp, writer: Client) -> None:
    User.objects.create_user("guest")
    group = record_group(shop)

    assert act(writer, action="assign", groups=[group.pk], to="guest").status_code == 422
    assert act(writer, action="comment", groups=[group.pk], text=" ").status_code == 422


def test_errors_of_other_apps_cannot_be_changed(writer: Client) -> None:
    event = new_error(make_app("other"))
    record_events([event])
    group = ErrorGroup.objects.get()

    for action in ("resolve", "delete", "comment"):
        assert act(writer, action=action, groups=[group.pk], text="x").status_code == 404
    url = f"/api/v1/error-events/{uuid.UUID(event.event_id)}/delete/"
    assert writer.post(url).status_code == 404
    assert ErrorEvent.objects.count() == 1


def rows_of_events() -> list[int]:
    return [model.objects.count() for model in (ErrorEvent, EventPayload, SeenEvent)]


def test_a_deleted_error_disappears_with_its_events_and_can_occur_again(
    shop: ClientApp, writer: Client
) -> None:
    record_events([new_error(shop, group="a", user_key="u-1", tags=(("k", "v"),)) for _ in range(3)])  # fmt: skip
    record_events([new_error(shop, group="b")])
    kept, deleted = ErrorGroup.objects.order_by("event_count")

    assert act(writer, action="delete", groups=[deleted.pk]).json()["changed"] == 1

    assert list(ErrorGroup.objects.all()) == [kept]
    assert rows_of_events() == [1, 1, 1]
    for model in (GroupHash, GroupHour, GroupTag, GroupUser):
        assert not model.objects.filter(group=deleted.pk).exists()
    assert not EventDeletion.objects.exists()
    group_cache.clear()
    record_events([new_error(shop, group="a")])
    assert ErrorGroup.objects.exclude(pk=kept.pk).get().event_count == 1


def test_an_error_is_deleted_with_the_errors_merged_into_it(
    shop: ClientApp, writer: Client
) -> None:
    one, two = record_group(shop), record_group(shop)
    kept = merging.merge_groups([one, two], user=None, now=NOON)

    act(writer, action="delete", groups=[kept.pk])

    assert not ErrorGroup.objects.exists()
    assert rows_of_events() == [0, 0, 0]


def test_an_interrupted_deletion_is_continued(
    shop: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_events([new_error(shop, group="a") for _ in range(5)])
    monkeypatch.setattr(deletion, "CHUNK_SIZE", 2)
    monkeypatch.setattr(deletion, "AT_ONCE_SECONDS", 0.0)

    deletion.delete_groups([ErrorGroup.objects.get()], now=NOON)

    assert not ErrorGroup.objects.exists()
    assert ErrorEvent.objects.count() == 3
    deletion.continue_deletions()
    assert rows_of_events() == [0, 0, 0]
    assert not EventDeletion.objects.exists()


def counts_of(group: ErrorGroup) -> tuple[int, int, int, dict[str, int]]:
    group.refresh_from_db()
    hours = GroupHour.objects.filter(group=group).aggregate(sum=Sum("count"))["sum"] or 0
    tags = dict(GroupTag.objects.filter(group=group, key="k").values_list("value", "count"))
    return group.event_count, group.user_count, hours, tags


def test_a_deleted_event_lowers_the_counts_of_its_error(shop: ClientApp, writer: Client) -> None:
    first = new_error(shop, group="a", user_key="u-1", payload={"tags": {"k": "x"}}, tags=(("k", "x"),))  # fmt: skip
    second = new_error(shop, group="a", user_key="u-2", payload={"tags": {"k": "y"}}, tags=(("k", "y"),))  # fmt: skip
    record_events([first, second])
    group = ErrorGroup.objects.get()
    assert counts_of(group) == (2, 2, 2, {"x": 1, "y": 1})

    answer = writer.post(f"/api/v1/error-events/{uuid.UUID(first.event_id)}/delete/")

    assert answer.json() == {"deleted": first.event_id}
    assert counts_of(group) == (1, 1, 1, {"y": 1})
    assert rows_of_events() == [1, 1, 1]
    assert AuditEvent.objects.get().target == f"event {first.event_id}"


def test_a_deleted_event_of_a_merged_error_lowers_both_counts(shop: ClientApp) -> None:
    one, two = record_group(shop), record_group(shop)
    total = one.event_count + two.event_count
    kept = merging.merge_groups([one, two], user=None, now=NOON)
    [other] = ErrorGroup.objects.filter(merged_into=kept)

    deletion.delete_event(ErrorEvent.objects.filter(group=other).first())  # type: ignore[arg-type]

    kept.refresh_from_db()
    assert kept.event_count == total - 1


def test_all_events_of_a_user_are_deleted_only_in_the_app(shop: ClientApp, writer: Client) -> None:
    elsewhere = make_app("other")
    for group in ("a", "b"):
        record_events([new_error(shop, group=group, user_key=user) for user in ("u-1", "u-1", "u-2")])  # fmt: skip
    record_events([new_error(elsewhere, group="a", user_key="u-1")])

    answer = writer.post(
        "/api/v1/error-users/delete/", json.dumps({"user": "u-1"}), content_type="application/json"
    )

    assert answer.status_code == 200
    assert ErrorEvent.objects.filter(app=shop).count() == 2
    assert not ErrorEvent.objects.filter(app=shop, user_key="u-1").exists()
    assert ErrorEvent.objects.filter(app=elsewhere).count() == 1
    counted = ErrorGroup.objects.filter(app=shop).values_list("event_count", "user_count")
    assert list(counted) == [(1, 1), (1, 1)]
    entry = AuditEvent.objects.get(action="errors.errorevent deleted")
    assert (entry.target, entry.detail[:17]) == ("all events of a user", "with the API key ")
    assert "u-1" not in str(list(AuditEvent.objects.values_list("target", "detail")))
    assert not EventDeletion.objects.exists()


def test_deleting_on_the_pages_requires_the_permission(
    shop: ClientApp, browse: Client, staff_client: Callable[..., Client]
) -> None:
    for number in range(2):
        at = NOON + timedelta(minutes=number)
        record_events([new_error(shop, group="a", user_key="u-1", received_at=at)])
    record_events([new_error(shop, group="a", user_key="u-2")])
    group = ErrorGroup.objects.get()
    base = f"/admin/errors/{group.pk}/"
    event = ErrorEvent.objects.filter(user_key="u-1").first()
    assert event is not None
    urls = (f"{base}delete/", f"{base}users/delete/", f"{base}events/{event.pk}/delete/")

    changer = staff_client("view_errorgroup", "change_errorgroup")
    assert {changer.post(url, {"user_key": "u-1"}).status_code for url in urls} == {403}
    assert "delete/" not in changer.get(base).content.decode()
    for page in (base, f"{base}users/", f"{base}events/{event.pk}/"):
        assert 'data-confirm="Delete' in browse.get(page).content.decode()

    browse.post(urls[2])
    assert counts_of(group)[0] == 2
    browse.post(urls[1], {"user_key": "u-1"})
    assert counts_of(group)[:2] == (1, 1)
    browse.post(urls[0])
    assert not ErrorGroup.objects.exists()
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"errors:event-delete", "errors:user-delete", "errors:group-delete"} <= actions
