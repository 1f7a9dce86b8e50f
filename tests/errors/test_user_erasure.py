"""Test that an erasure replaces a person's id in stored errors by a pseudonym and keeps all other data."""

from datetime import timedelta
from typing import Any

import pytest

from core.clients.models import ClientApp
from errors.event import json_codec
from errors.models import ErrorEvent, GroupUser, PayloadDictionary, ReleaseErrorUser
from errors.services.erasure import erase_user
from errors.services.release_counts import roll_up
from errors.store import payloads
from tests.errors.stored import NOON, PAYLOAD, group_of, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app()


def erase_completely(*users: str, limit: int = 200) -> int:
    total = 0
    while count := erase_user(users=set(users), limit=limit):
        total += count
    return total


def make_user_error(app: ClientApp, user: str, **fields: Any) -> ErrorEvent:
    payload = {**PAYLOAD, "user": {"id": user, "username": "ann"}}
    return make_error(app, payload=payload, user_key=user, release="shop@1.0.0", **fields)


def test_the_user_is_replaced_in_events_payloads_and_counts(app: ClientApp) -> None:
    events = [make_user_error(app, "u-17", group=name, order_ref="o-1") for name in ("a", "a", "b")]
    roll_up(now=NOON + timedelta(hours=1))

    # Three events, one row for each of two groups, and one for the release.
    assert erase_completely("u-17") == 6

    for event in events:
        event.refresh_from_db()
        assert event.user_key.startswith("erased-")
        assert event.order_ref == "o-1"
        assert payloads.payload_of(event) == {**PAYLOAD, "user": {"id": event.user_key}}
    assert len({event.user_key for event in events}) == 1
    for model in (GroupUser, ReleaseErrorUser):
        keys = set(model._default_manager.values_list("user_key", flat=True))
        assert keys == {events[0].user_key}


def test_affected_users_are_counted_as_before(app: ClientApp) -> None:
    for user in ("u-17", "u-17", "u-18"):
        event = make_user_error(app, user, group="a")

    erase_completely("u-17")

    assert group_of(event).user_count == GroupUser.objects.count() == 2


def test_other_users_are_not_changed(app: ClientApp) -> None:
    other = make_user_error(app, "u-170", group="a")
    make_user_error(app, "u-17", group="a")

    erase_completely("u-17")

    other.refresh_from_db()
    assert other.user_key == "u-170"
    assert payloads.payload_of(other)["user"] == {"id": "u-170", "username": "ann"}
    assert GroupUser.objects.filter(user_key="u-170").exists()


def test_each_step_replaces_at_most_the_limit(app: ClientApp) -> None:
    for group in ("a", "a", "b"):
        make_user_error(app, "u-17", group=group)

    roll_up(now=NOON + timedelta(hours=1))
    counts = [erase_user(users={"u-17"}, limit=2) for _ in range(5)]

    # Three events, one row for each of two groups, and one for the release.
    assert counts == [2, 2, 2, 0, 0]


def test_each_step_renames_at_most_the_limit_of_affected_users(app: ClientApp) -> None:
    users = {"u-1", "u-2", "u-3"}
    for user in users:
        event = make_user_error(app, user, group="a")
    ErrorEvent.objects.all().delete()
    for group in ("b", "c"):
        make_user_error(app, "u-1", group=group).delete()

    counts = []
    while count := erase_user(users=users, limit=2):
        counts.append(count)
        assert GroupUser.objects.filter(user_key__in=users).count() == 5 - sum(counts)

    assert counts == [2, 2, 1]
    assert GroupUser.objects.filter(group=event.group_id).count() == 3


def test_a_user_who_comes_back_can_be_erased_again(app: ClientApp) -> None:
    for _ in range(2):
        event = make_user_error(app, "u-17", group="a")
        erase_completely("u-17")

    event.refresh_from_db()
    assert list(GroupUser.objects.values_list("user_key", flat=True)) == [event.user_key]


def test_erasing_an_unknown_person_changes_nothing(app: ClientApp) -> None:
    make_user_error(app, "u-17")

    assert erase_completely("u-99") == erase_completely() == 0


def test_dictionaries_contain_no_user(app: ClientApp) -> None:
    for _ in range(3):
        make_user_error(app, "u-17", group="a")

    dictionary = PayloadDictionary.objects.get()

    content = json_codec.decode(payloads.unpack(bytes(dictionary.content)))
    assert content == PAYLOAD


def test_a_dictionary_of_an_earlier_version_that_contains_a_user_is_not_used(
    app: ClientApp,
) -> None:
    first = make_user_error(app, "u-17", group="a")
    old = PayloadDictionary.objects.create(
        group=first.group,
        content=payloads.pack(payloads.json_of(first)),
        created_at=NOON,
        last_used_date=NOON.date(),
    )

    make_user_error(app, "u-18", group="a")
    later = NOON + timedelta(days=1)
    last = make_user_error(app, "u-18", group="a", received_at=later)

    old.refresh_from_db()
    assert old.last_used_date == NOON.date()
    assert PayloadDictionary.objects.exclude(pk=old.pk).count() == 1
    assert payloads.payload_of(last)["user"] == {"id": "u-18", "username": "ann"}


def test_an_extra_with_the_name_user_does_not_make_a_dictionary_unusable(app: ClientApp) -> None:
    for _ in range(4):
        make_error(app, group="a", payload={**PAYLOAD, "extra": {"user": "guest"}})

    assert PayloadDictionary.objects.count() == 1
