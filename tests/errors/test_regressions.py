"""Test which events reopen a resolved group as a regression, and which events end the mute of a group."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from core.clients.models import ClientApp
from errors.models import ErrorEvent, ErrorGroup, GroupNote, Status
from errors.services import record_events, triage
from errors.store.regressions import is_older_release
from tests.errors.stored import NOON, group_of, make_error, new_error

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
LATER = NOON + 10 * MINUTE


def resolved(
    shop: ClientApp, owner: User, *, release: str = "", seen_in: str = "shop@1.2.0"
) -> ErrorEvent:
    """Return an event whose group was resolved at noon, in the release `release` if that is set."""
    event = make_error(shop, group="g", received_at=NOON - MINUTE, release=seen_in)
    group = ErrorGroup.objects.filter(pk=event.group_id)
    triage.resolve_groups(group, user=owner, now=NOON, release=release)
    return event


def test_an_event_after_the_resolution_is_a_regression(shop: ClientApp, owner: User) -> None:
    resolved(shop, owner)

    event = make_error(shop, group="g", received_at=LATER, occurred_at=LATER)

    group = group_of(event)
    assert (group.status, group.regressed_at, group.event_count) == (Status.REGRESSED, LATER, 2)
    note = GroupNote.objects.get(group=group, kind=GroupNote.Kind.REGRESSED)
    assert (note.at, note.by) == (LATER, None)


def test_further_events_do_not_add_to_the_history_of_a_regression(
    shop: ClientApp, owner: User
) -> None:
    resolved(shop, owner)

    for minute in (1, 2, 3):
        at = NOON + minute * MINUTE
        event = make_error(shop, group="g", received_at=at, occurred_at=at)

    group = group_of(event)
    assert (group.status, group.regressed_at) == (Status.REGRESSED, NOON + MINUTE)
    assert GroupNote.objects.filter(kind=GroupNote.Kind.REGRESSED).count() == 1


@pytest.mark.parametrize(
    ("occurred_at", "received_at"),
    [
        pytest.param(NOON - MINUTE, LATER, id="sent late"),
        pytest.param(NOON, LATER, id="in the same instant"),
        pytest.param(LATER, NOON - MINUTE, id="stored late, from a clock that is fast"),
        pytest.param(LATER, NOON, id="received in the same instant, from a clock that is fast"),
    ],
)
def test_an_event_from_before_the_resolution_is_counted_and_does_not_reopen_the_group(
    shop: ClientApp, owner: User, occurred_at: object, received_at: object
) -> None:
    resolved(shop, owner)

    event = make_error(shop, group="g", occurred_at=occurred_at, received_at=received_at)

    group = group_of(event)
    assert (group.status, group.regressed_at, group.event_count) == (Status.RESOLVED, None, 2)
    assert not GroupNote.objects.filter(kind=GroupNote.Kind.REGRESSED).exists()


@pytest.mark.parametrize(
    ("release", "status"),
    [
        ("shop@1.9.9", Status.RESOLVED),
        ("shop@1.10.0", Status.REGRESSED),
        ("shop@1.10.1", Status.REGRESSED),
        ("", Status.REGRESSED),
        ("3f786850", Status.REGRESSED),
    ],
)
def test_a_group_resolved_in_a_release_regresses_unless_the_event_is_from_an_older_one(
    shop: ClientApp, owner: User, release: str, status: Status
) -> None:
    resolved(shop, owner, release="shop@1.10.0")

    event = make_error(shop, group="g", received_at=LATER, occurred_at=LATER, release=release)

    assert group_of(event).status == status


def test_one_event_after_the_resolution_is_enough_among_late_events(
    shop: ClientApp, owner: User
) -> None:
    first = resolved(shop, owner)

    record_events(
        [
            new_error(shop, group="g", received_at=LATER, occurred_at=LATER),
            new_error(shop, group="g", received_at=LATER + MINUTE, occurred_at=NOON - MINUTE),
        ]
    )

    group = group_of(first)
    assert (group.status, group.event_count) == (Status.REGRESSED, 3)


def test_a_group_resolved_at_an_unknown_time_regresses_with_any_event(
    shop: ClientApp, owner: User
) -> None:
    event = resolved(shop, owner)
    ErrorGroup.objects.filter(pk=event.group_id).update(resolved_at=None)

    make_error(shop, group="g", received_at=NOON - MINUTE, occurred_at=NOON - MINUTE)

    assert group_of(event).status == Status.REGRESSED


def test_a_regression_is_dated_by_the_latest_event_that_arrived_with_it(
    shop: ClientApp, owner: User
) -> None:
    first = resolved(shop, owner)

    record_events(
        [
            new_error(shop, group="g", received_at=NOON + n * MINUTE, occurred_at=LATER)
            for n in (1, 3, 2)
        ]
    )

    assert group_of(first).regressed_at == NOON + 3 * MINUTE


def test_late_events_of_one_group_do_not_prevent_a_regression_of_another(
    shop: ClientApp, owner: User
) -> None:
    events = [make_error(shop, group=name, received_at=NOON - MINUTE) for name in "ab"]
    triage.resolve_groups(ErrorGroup.objects.all(), user=owner, now=NOON)

    record_events(
        [
            new_error(shop, group="a", received_at=LATER, occurred_at=NOON - MINUTE),
            new_error(shop, group="b", received_at=LATER, occurred_at=LATER),
        ]
    )

    assert [group_of(event).status for event in events] == [Status.RESOLVED, Status.REGRESSED]


@pytest.mark.parametrize(
    ("release", "than", "expected"),
    [
        ("shop@1.9.0", "shop@1.10.0", True),
        ("shop@1.10.0", "shop@1.9.0", False),
        ("1.2", "1.2.1", True),
        ("1.2.0", "1.2", False),
        ("1.2", "1.2.0", False),
        ("v1.2.3", "V1.2.4", True),
        ("shop@1.2.3+build.9", "shop@1.2.3+build.10", False),
        ("1.2.3+build.9", "1.2.4+build.9", True),
        ("1.2.3-4", "1.2.3-5", True),
        ("1.2.rc1", "1.3", True),
        ("@scope/shop@2.0.1", "@scope/shop@2.1.0", True),
        ("shop@0.0.0", "shop@0.0.1", True),
        ("shop@0.0.0", "shop@0", False),
        ("3f786850", "shop@1.2.3", False),
        ("shop@1.2.3", "main", False),
        ("1.²", "1.3", True),
    ],
)
def test_releases_are_compared_by_their_numbers(release: str, than: str, expected: bool) -> None:
    assert is_older_release(release, than) is expected


# --- mutes -----------------------------------------------------------------------------------------


def muted(shop: ClientApp, owner: User, **ends: object) -> ErrorEvent:
    event = make_error(shop, group="g", user_key="u-1", received_at=NOON - MINUTE)
    group = ErrorGroup.objects.filter(pk=event.group_id)
    triage.mute_groups(group, user=owner, now=NOON, **ends)  # type: ignore[arg-type]
    return event


@pytest.mark.parametrize(
    "ends", [{"until": LATER}, {"events": 2}, {"users": 2}], ids=["time", "events", "users"]
)
def test_a_mute_ends_with_the_event_that_meets_its_condition(
    shop: ClientApp, owner: User, ends: dict[str, object]
) -> None:
    first = muted(shop, owner, **ends)

    make_error(shop, group="g", user_key="u-2", received_at=LATER - MINUTE)
    assert group_of(first).status == Status.MUTED
    make_error(shop, group="g", user_key="u-3", received_at=LATER)

    group = group_of(first)
    assert group.status == Status.OPEN
    assert (group.muted_until, group.muted_until_events, group.muted_until_users) == (
        None,
        None,
        None,
    )
    note = GroupNote.objects.get(kind=GroupNote.Kind.UNMUTED)
    assert (note.group, note.at, note.by) == (group, LATER, None)


def test_a_mute_without_conditions_never_ends_automatically(shop: ClientApp, owner: User) -> None:
    first = muted(shop, owner)

    for day in range(1, 4):
        make_error(shop, group="g", received_at=NOON + timedelta(days=day))

    assert group_of(first).status == Status.MUTED
    assert not GroupNote.objects.filter(kind=GroupNote.Kind.UNMUTED).exists()
