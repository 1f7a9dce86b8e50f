"""Test that events with resolved stacks are grouped by the original code."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from errors.event import fingerprint
from errors.models import (
    ErrorEvent,
    ErrorGroup,
    EventPayload,
    GroupHash,
    GroupHour,
    GroupTag,
    GroupUser,
    PayloadDictionary,
    Status,
)
from errors.services import triage
from errors.services.merging import merge_groups
from errors.store import payloads, to_resolve
from tests.errors.source_maps.built import Build, Cli
from tests.errors.source_maps.resolving import (
    NEW,
    OLD,
    ORIGINAL,
    OTHER_ID,
    places,
    resolve,
    send,
    upload,
)
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db


def test_a_new_bundle_does_not_split_a_group(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())

    first = send(browser, OLD.event(user={"id": "ann"}, tags={"plan": "pro"}))
    resolve()
    second = send(browser, NEW.event(user={"id": "bob"}, tags={"plan": "pro"}))
    assert ErrorGroup.objects.visible().count() == 2
    resolve()

    [group] = ErrorGroup.objects.visible()
    second.refresh_from_db()
    assert first.group_id == second.group_id == group.pk
    assert (group.event_count, group.user_count, group.last_event) == (2, 2, second.pk)
    assert group.culprit == "src/cart.js in addToCart"
    assert GroupTag.objects.get(group=group, key="plan").count == 2
    assert sum(GroupHour.objects.filter(group=group).values_list("count", flat=True)) == 2
    emptied = ErrorGroup.objects.get(merged_into=group)
    assert emptied.event_count == emptied.user_count == 0
    assert not GroupHour.objects.filter(group=emptied).exists()
    assert not GroupUser.objects.filter(group=emptied).exists()
    assert not GroupTag.objects.filter(group=emptied).exists()


def compress_with_a_dictionary(event: ErrorEvent) -> None:
    """Compress the event's payload with a dictionary of its group, as the store does for later events of a group."""
    body = payloads.json_of(event)
    row = PayloadDictionary.objects.create(
        group_id=event.group_id,
        content=payloads.pack(body),
        created_at=event.received_at,
        last_used_date=event.received_at.date(),
    )
    data = payloads.pack(body, payloads.Dictionary(row.pk, body, len(body)))
    EventPayload.objects.filter(pk=event.pk).update(dictionary=row, data=data)


def test_a_moved_event_can_be_read_after_its_previous_group_is_deleted(
    cli: Cli, browser: Sender
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    first = send(browser, OLD.event())
    resolve()
    moved = send(browser, NEW.event())
    previous = moved.group_id
    body = payloads.json_of(moved)
    compress_with_a_dictionary(moved)

    resolve()
    ErrorGroup.objects.get(pk=previous).delete()

    moved.refresh_from_db()
    assert moved.group_id == first.group_id != previous
    assert payloads.json_of(moved) == body


def test_the_next_event_of_the_new_bundle_goes_to_the_group_at_once(
    cli: Cli, browser: Sender
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    first = send(browser, OLD.event())
    resolve()
    send(browser, NEW.event())
    resolve()

    third = send(browser, NEW.event())

    assert third.group_id == first.group_id


def test_different_bugs_with_the_same_short_names_are_two_groups(cli: Cli, browser: Sender) -> None:
    pay = Build(
        names="tn",
        debug_id=OTHER_ID,
        source=Build().source.replace("checkout", "refund").replace("addToCart", "giveBack"),
    )
    upload(cli, OLD.archive())
    upload(cli, pay.archive())

    first, second = send(browser, OLD.event()), send(browser, pay.event())
    assert first.group_id == second.group_id
    resolve()

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.group_id != second.group_id
    one, other = ErrorGroup.objects.visible().order_by("pk")
    assert (one.culprit, other.culprit) == ("src/cart.js in addToCart", "src/cart.js in giveBack")
    assert (one.event_count, other.event_count) == (1, 1)


def test_a_group_from_before_the_source_maps_does_not_split(cli: Cli, browser: Sender) -> None:
    pay = Build(
        names="tn", debug_id=OTHER_ID, source=Build().source.replace("addToCart", "giveBack")
    )
    old = send(browser, OLD.event())
    upload(cli, OLD.archive())
    upload(cli, pay.archive())

    first, second = send(browser, OLD.event()), send(browser, pay.event())
    resolve()

    [group] = ErrorGroup.objects.all()
    assert {one.group_id for one in ErrorEvent.objects.all()} == {group.pk}
    assert {old.pk, first.pk, second.pk} == set(ErrorEvent.objects.values_list("pk", flat=True))
    assert group.hashes.filter(kind=GroupHash.Kind.ORIGINAL).count() == 2


def test_a_group_of_an_earlier_version_of_the_algorithm_is_found(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    monkeypatch.setattr(fingerprint, "fingerprint", fingerprint.version_1)
    first = send(browser, OLD.event())
    resolve()
    monkeypatch.undo()
    to_resolve.clear()

    second = send(browser, NEW.event())
    resolve()

    second.refresh_from_db()
    assert second.group_id == first.group_id


def test_an_event_that_moves_into_a_resolved_group_is_a_regression(
    cli: Cli, browser: Sender, owner: Any
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    send(browser, OLD.event())
    resolve()
    triage.resolve_groups(
        ErrorGroup.objects.all(), user=owner, now=timezone.now() - timedelta(seconds=5)
    )

    send(browser, NEW.event(release="shop@2.0"))
    resolve()

    [group] = ErrorGroup.objects.visible()
    assert group.status == Status.REGRESSED
    assert group.regressed_in_release == "shop@2.0"


def test_a_group_that_staff_worked_with_stays_when_its_events_move(
    cli: Cli, browser: Sender, owner: Any
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    send(browser, OLD.event())
    resolve()
    second = send(browser, NEW.event())
    triage.add_comment(
        ErrorGroup.objects.get(pk=second.group_id), user=owner, now=timezone.now(), text="mine"
    )

    resolve()

    assert ErrorGroup.objects.visible().count() == 2


def test_a_fingerprint_set_by_the_client_is_kept(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())

    event = send(browser, OLD.event(fingerprint=["checkout"]))
    before = event.group_id
    resolve()

    event.refresh_from_db()
    assert event.group_id == before
    assert GroupHash.objects.count() == 1
    assert places(event) == ORIGINAL


def test_events_of_merged_groups_stay_merged(cli: Cli, browser: Sender, owner: Any) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    other = send(browser, {"platform": "javascript", "message": "something else"})
    event = send(browser, OLD.event())
    kept = merge_groups(list(ErrorGroup.objects.all()), user=owner, now=timezone.now())
    resolve()

    send(browser, NEW.event())
    resolve()

    assert list(ErrorGroup.objects.visible()) == [kept]
    kept.refresh_from_db()
    assert kept.event_count == 3
    assert {other.group_id, event.group_id} <= set(kept.family)
