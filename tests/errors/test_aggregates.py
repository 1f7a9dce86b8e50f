"""Test the counts that are computed from a batch of events."""

from datetime import timedelta
from typing import Any

import pytest

from errors.event.new_event import NewEvent
from errors.models import hour_of, minute_of
from errors.store import aggregates
from errors.store.aggregates import OTHERS, Aggregates, GroupAggregate, TagValues
from tests.errors.stored import NOON

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def no_known_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "tag_values", TagValues())


def new_event(**fields: Any) -> NewEvent:
    given = {
        "app_id": 1,
        "event_id": "0" * 32,
        "received_at": NOON,
        "occurred_at": NOON,
        "group_hash": "0" * 32,
        "title": "ValueError",
        "payload": b"{}",
        **fields,
    }
    return NewEvent(**given)


def of_group(*events: NewEvent) -> GroupAggregate:
    return Aggregates.of((event, 7, id) for id, event in enumerate(events, 1)).groups[7]


def test_events_are_counted_by_group_hour_and_minute() -> None:
    counted = Aggregates.of(
        [
            (new_event(), 7, 1),
            (new_event(received_at=NOON + MINUTE), 7, 2),
            (new_event(received_at=NOON + MINUTE, severity="critical"), 8, 3),
            (new_event(received_at=NOON + 60 * MINUTE, app_id=2), 8, 4),
            (new_event(), 7, 5),
        ]
    )

    noon, one = hour_of(NOON), hour_of(NOON + 60 * MINUTE)
    assert {group: one.count for group, one in counted.groups.items()} == {7: 3, 8: 2}
    assert counted.hours == {(7, noon): 3, (8, noon): 1, (8, one): 1}
    assert counted.minutes == {
        (minute_of(NOON), 1, "high"): 2,
        (minute_of(NOON + MINUTE), 1, "high"): 1,
        (minute_of(NOON + MINUTE), 1, "critical"): 1,
        (minute_of(NOON + 60 * MINUTE), 2, "high"): 1,
    }


def test_first_and_last_times_do_not_depend_on_the_order_of_events() -> None:
    group = of_group(
        new_event(received_at=NOON + MINUTE),
        new_event(received_at=NOON + 3 * MINUTE),
        new_event(received_at=NOON),
        new_event(received_at=NOON + 2 * MINUTE),
    )

    assert (group.first_at, group.last_at) == (NOON, NOON + 3 * MINUTE)
    assert (group.count, group.last_event) == (4, 2)


def test_of_two_simultaneous_events_the_last_stored_one_is_the_latest() -> None:
    group = of_group(new_event(release="1.0"), new_event(release="1.1"))

    assert (group.last_event, group.release) == (2, "1.1")


def test_the_release_is_that_of_the_latest_event_that_has_one() -> None:
    group = of_group(
        new_event(received_at=NOON + MINUTE, release="1.1"),
        new_event(received_at=NOON, release="1.0"),
        new_event(received_at=NOON + 2 * MINUTE),
    )

    assert (group.release, group.last_event) == ("1.1", 3)


@pytest.mark.parametrize("order", [("info", "critical", "high"), ("critical", "info"), ("info",)])
def test_a_group_is_as_severe_as_its_worst_event(order: tuple[str, ...]) -> None:
    worst = max(order, key=["info", "warning", "high", "critical"].index)

    assert of_group(*[new_event(severity=severity) for severity in order]).severity == worst


def test_each_user_counts_once_and_events_without_a_user_do_not_count() -> None:
    events = [new_event(user_key=key) for key in ("u-1", "u-2", "u-1", "")]

    assert Aggregates.of((event, 7, 1) for event in events).users == {(7, "u-1"), (7, "u-2")}


def test_tags_and_searched_columns_are_counted_by_value() -> None:
    event = new_event(
        environment="production", release="1.2", function="pay", category="billing",
        tags=(("browser", "Firefox"), ("browser", "Safari"), ("k" * 65, "v")),
    )  # fmt: skip

    assert Aggregates.of([(event, 7, 1), (event, 7, 2)]).tags == {
        (7, "environment", "production"): 2,
        (7, "release", "1.2"): 2,
        (7, "function", "pay"): 2,
        (7, "category", "billing"): 2,
        (7, "browser", "Firefox"): 2,
        (7, "browser", "Safari"): 2,
        (7, "k" * 64, "v"): 2,
    }


def test_a_tag_with_the_name_of_a_searched_column_is_ignored() -> None:
    names = ("environment", "release", "function", "category")
    event = new_event(environment="production", tags=tuple((name, "tagged") for name in names))

    assert Aggregates.of([(event, 7, 1)]).tags == {(7, "environment", "production"): 1}


# --- values that never repeat ------------------------------------------------------------------------


def test_values_beyond_the_first_hundred_of_a_tag_are_counted_together() -> None:
    values = TagValues()

    counted = [values.value_to_count(7, "order", f"o-{number}") for number in range(102)]

    assert counted == [*[f"o-{number}" for number in range(100)], OTHERS, OTHERS]
    assert values.value_to_count(7, "order", "o-99") == "o-99"
    assert values.value_to_count(8, "order", "o-101") == "o-101"
    assert values.value_to_count(7, "seat", "o-101") == "o-101"


def test_at_most_fifty_thousand_tags_are_cached() -> None:
    values = TagValues()
    for number in range(100):
        values.value_to_count(0, "order", f"o-{number}")

    for group in range(1, 50_000):
        values.value_to_count(group, "order", "o")
    assert values.value_to_count(0, "order", "new") == OTHERS
    values.value_to_count(50_000, "order", "o")

    assert values.value_to_count(0, "order", "new") == "new"
