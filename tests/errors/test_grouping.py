"""Test which errors get the same fingerprint, and so belong to one group."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.event import fingerprint
from errors.event.fingerprint import without_variables
from errors.models import ErrorGroup, GroupHash
from errors.services import merging
from errors.store.groups import group_cache
from tests.errors.fuzz.shapes import events, fuzz
from tests.errors.stored import NOON, group_of, make_error
from tests.errors.support import raised
from tests.factories import make_app

Event = dict[str, Any]


def hash_of(event: Event) -> str:
    return fingerprint.fingerprint(event)


def script(*functions: str, value: str = "x") -> Event:
    """Return an error in a browser with a stack of `functions`, the innermost one last."""
    frames = [
        {"function": name, "filename": "https://shop.example/static/app.js", "in_app": True}
        for name in functions
    ]
    return raised("TypeError", value) | {
        "platform": "javascript",
        "exception": {"values": [{"type": "TypeError", "value": value, "stacktrace": {"frames": frames}}]},
    }  # fmt: skip


def without_stack(value: str) -> Event:
    return {"platform": "python", "exception": {"values": [{"type": "ValueError", "value": value}]}}


# --- what a fingerprint depends on ------------------------------------------------------------------------------

names = st.text("abcdefgh", min_size=1, max_size=6)
frames = st.lists(
    st.fixed_dictionaries(
        {"module": names, "function": names, "context_line": names, "in_app": st.booleans()}
    ),
    min_size=1,
    max_size=5,
)
# Occurrences of one bug may differ in these members, so the members must not affect the group.
circumstances = st.fixed_dictionaries(
    {},
    optional={
        "lineno": st.integers(),
        "colno": st.integers(),
        "vars": st.dictionaries(names, names),
        "abs_path": names,
        "pre_context": st.lists(names),
        "instruction_addr": names,
    },
)


@fuzz
@given(frames, st.lists(circumstances, min_size=5, max_size=5), names, names)
def test_line_numbers_locals_and_values_are_ignored_if_there_is_a_stack(
    stack: list[Event], around: list[Event], value: str, other: str
) -> None:
    one = raised("E", value)
    again = raised("E", other, environment=other, release=value, user={"id": other})
    one["exception"]["values"][0]["stacktrace"]["frames"] = stack
    again["exception"]["values"][0]["stacktrace"]["frames"] = [
        {**frame, **more} for frame, more in zip(stack, around, strict=False)
    ]

    assert hash_of(one) == hash_of(again)


@fuzz
@given(frames, st.integers(0, 4), st.sampled_from(("module", "function", "context_line")))
def test_a_different_function_of_the_app_makes_a_different_group(
    stack: list[Event], place: int, name: str
) -> None:
    one, other = raised(), raised()
    changed = [dict(frame) for frame in stack]
    frame = changed[place % len(changed)]
    frame[name] += "x"
    one["exception"]["values"][0]["stacktrace"]["frames"] = stack
    other["exception"]["values"][0]["stacktrace"]["frames"] = changed

    own = any(frame["in_app"] for frame in stack)
    if own and not frame["in_app"]:
        assert hash_of(one) == hash_of(other)
    # A recursive stack may keep its fingerprint despite the change.
    elif not is_recursive(stack, own) and not is_recursive(changed, own):
        assert hash_of(one) != hash_of(other)


def is_recursive(stack: list[Event], own: bool) -> bool:
    steps = [
        (frame["module"], frame["function"], frame["context_line"])
        for frame in stack
        if frame["in_app"] or not own
    ]
    return any(step == following for step, following in pairwise(steps))


@fuzz
@given(st.integers(1, 40), st.integers(1, 40))
def test_a_recursive_call_counts_once_at_any_depth(deep: int, deeper: int) -> None:
    assert hash_of(script("f", *["g"] * deep)) == hash_of(script("f", *["g"] * deeper))


@fuzz
@given(st.lists(names, min_size=1, max_size=3), events)
def test_a_fingerprint_set_by_the_app_takes_precedence(own: list[str], event: Event) -> None:
    assert hash_of({"fingerprint": own, "message": "a"}) == hash_of(
        {"fingerprint": own, "logentry": {"formatted": "b"}}
    )
    assert hash_of({"fingerprint": own}) != hash_of({"fingerprint": [*own, "x"]})


def test_default_inside_a_custom_fingerprint_expands_to_the_computed_one() -> None:
    alone = raised()
    named = {**raised(), "fingerprint": ["{{ default }}"]}
    by_tenant = {**raised(), "fingerprint": ["{{default}}", 7]}
    other_bug = {**raised(function="pay"), "fingerprint": ["{{default}}", 7]}

    assert hash_of(alone) == hash_of(named) != hash_of(by_tenant) != hash_of(other_bug)
    assert hash_of(by_tenant) == hash_of({**raised(), "fingerprint": ["{{ default }}", "7"]})


@fuzz
@given(st.lists(names, min_size=2, max_size=4), st.data())
def test_the_boundaries_between_parts_affect_the_fingerprint(
    parts: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(1, len(parts) - 1))
    joined = [*parts[: place - 1], parts[place - 1] + parts[place], *parts[place + 1 :]]

    assert hash_of({"fingerprint": parts}) != hash_of({"fingerprint": joined})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 of ann@shop.example failed", "order 4711 of bob@mail.example failed"),
        ("no answer from https://a.example/x?y=1", "no answer from http://b.example/"),
        ("lost f47ac10b-58cc-4372-a567-0e02b2c3d479", "lost 00000000-0000-4000-8000-000000000000"),
        ("at 2026-11-22T12:00:00Z", "at 2025-01-02 03:04:05.678+01:00"),
        ("peer 192.0.2.7 gone", "peer 198.51.100.20 gone"),
        ("took 3 ms", "took 12.5 ms"),
        ("commit 3f786850e387 is bad", "commit 00dead12beef is bad"),
        ("no seat 'A7'", "no seat 'B12'"),
        ("wrote -3.5, not 7", "wrote 12, not 0.25"),
    ],
)
def test_messages_that_differ_only_in_values_belong_to_one_group(one: str, other: str) -> None:
    assert without_variables(one) == without_variables(other)
    assert hash_of(without_stack(one)) == hash_of(without_stack(other))
    assert hash_of(without_stack(one)) != hash_of(without_stack(f"{one} again"))


# --- browsers ----------------------------------------------------------------------------------------------------


def test_the_names_that_browsers_give_one_function_are_equal() -> None:
    """Compare the names that Chrome, Edge, Firefox and Safari use. tests/sdks compares real stack traces."""
    assert len({hash_of(script("setup", name)) for name in (
        "Cart.total", "Object.total", "total", "new total", "get total", "Cart.get total [as total]", "setup/total",
    )}) == 1  # fmt: skip
    assert len({hash_of(script("total", name)) for name in (
        "?", "", "<anonymous>", "HTMLButtonElement.<anonymous>", "total/<", "total/</<", "global code", "Anonymous function",
    )}) == 1  # fmt: skip


@pytest.mark.parametrize(
    "build", ["app.3f9c2b1a.js", "app.js?v=7", "app-DkX3_9aB.js", "app-0a1b2c3d4e5f.js"]
)
def test_the_build_hash_of_a_bundle_is_ignored(build: str) -> None:
    next_build = script("total")
    frame = next_build["exception"]["values"][0]["stacktrace"]["frames"][0]
    frame["filename"] = f"https://shop.example/static/{build}"

    assert hash_of(next_build) == hash_of(script("total"))


def test_frames_before_an_await_are_ignored() -> None:
    hashes = {
        hash_of(script(*before, "refresh", "read"))
        for before in ((), ("async start",), ("?", "async*start"), ("x", "EventListener.handleEvent*start"))
    }  # fmt: skip

    assert len(hashes) == 1
    assert hash_of(script("async start")) != hash_of(script("async stop"))


# --- groups --------------------------------------------------------------------------------------------------------


@pytest.fixture
def newer_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a new version of the fingerprint algorithm, with the current version as its predecessor."""
    monkeypatch.setattr(fingerprint, "EARLIER", (fingerprint.fingerprint,))
    monkeypatch.setattr(fingerprint, "VERSION", fingerprint.VERSION + 1)
    group_cache.clear()


@pytest.mark.django_db
def test_a_new_version_of_the_algorithm_finds_existing_groups(newer_algorithm: None) -> None:
    app, event = make_app(), raised()
    make_error(app, payload=event, group=hash_of(event))
    group_cache.clear()

    again = make_error(app, payload=event, group="b" * 32)
    once_more = make_error(app, payload=event, group="b" * 32)
    other = make_error(app, payload=raised(function="pay"), group="c" * 32)

    assert group_of(again).event_count == 3
    assert once_more.group_id == again.group_id != other.group_id
    assert set(GroupHash.objects.filter(group=again.group_id).values_list("hash", flat=True)) == {
        hash_of(event),
        "b" * 32,
    }


@pytest.mark.django_db
def test_an_old_hash_of_a_merged_group_leads_to_the_kept_group(
    newer_algorithm: None,
) -> None:
    app, event = make_app(), raised()
    kept = make_error(app, group="a")
    merged = make_error(
        app, payload=event, group=hash_of(event), received_at=NOON + timedelta(hours=1)
    )
    merging.merge_groups([group_of(kept), group_of(merged)], user=None, now=NOON)
    group_cache.clear()

    again = make_error(app, payload=event, group="b" * 32)
    merging.unmerge_group(group_of(merged), user=None, now=NOON)
    group_cache.clear()
    later = make_error(app, payload=event, group="b" * 32)

    assert again.group_id == kept.group_id
    assert later.group_id == merged.group_id
    assert ErrorGroup.objects.count() == 2
