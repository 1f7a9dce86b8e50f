"""The short ways of `fragments` decide nothing: an event read through them is the one the ordinary way makes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from errors.intake import fragments
from hypothesis import given, settings
from hypothesis import strategies as st

from core.lib.scrub import Scrubber
from errors.event import json_codec
from errors.event.build import Circumstances, accept_json
from errors.event.new_event import NewEvent

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"

_TEXTS = st.one_of(
    st.sampled_from((
        "SELECT 1", "jane@example.com", "10.1.2.3", "password=hunter22", "4111 1111 1111 1111", "", "ui.click",
        "Bearer abcdefghijklmnopqrstuvwxyz012345", "a\x00b", "\ud800", "[Filtered]",
    )),
    st.text(max_size=20),
)  # fmt: skip
_NAMES = st.one_of(
    st.sampled_from(("url", "password", "X-Auth-Token", "vars", "data", "message", "jane@example.com", "order_id")),
    st.text(max_size=8),
)  # fmt: skip
_VALUES = st.recursive(
    st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(), st.just(4111111111111111), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_CRUMBS = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": st.one_of(st.floats(0, 2e9), st.integers(), st.just("2026-11-20T11:59:00Z"), _VALUES),
        "type": _TEXTS | st.none(),
        "category": _TEXTS,
        "level": st.sampled_from(("info", None, 3)),
        "message": _TEXTS | st.none(),
        "data": st.dictionaries(_NAMES, _VALUES, max_size=3) | _VALUES,
        "origin": st.just("android"),
    },
)  # fmt: skip
_FRAMES = st.fixed_dictionaries(
    {"function": st.sampled_from(("pay", "main"))},
    optional={
        "filename": st.just("shop/pay.py"),
        "in_app": st.booleans(),
        "context_line": _TEXTS,
        "vars": st.dictionaries(_NAMES, _VALUES, max_size=3) | _VALUES,
        "data": st.dictionaries(_NAMES, _VALUES, max_size=2),
        "lineno": st.integers(1, 500),
    },
)
_EVENTS = st.fixed_dictionaries(
    {"event_id": st.just(ID)},
    optional={
        "breadcrumbs": st.one_of(
            st.lists(_CRUMBS | st.none(), max_size=4),
            st.fixed_dictionaries({"values": st.lists(_CRUMBS, max_size=4)}),
            _VALUES,
        ),
        "exception": st.fixed_dictionaries({
            "values": st.lists(
                st.fixed_dictionaries({
                    "type": st.just("Refused"),
                    "value": _TEXTS,
                    "stacktrace": st.fixed_dictionaries({"frames": st.lists(_FRAMES, max_size=4)}),
                }),
                min_size=1,
                max_size=2,
            )
        }),
        "extra": st.dictionaries(_NAMES, _VALUES, max_size=3),
        "tags": st.dictionaries(_NAMES, _TEXTS, max_size=3),
    },
)  # fmt: skip


def read(event: dict[str, Any], scrubber: Scrubber, around: Circumstances) -> NewEvent:
    payload = json.dumps(event, separators=(",", ":")).encode()
    return accept_json(payload, app_id=1, scrubber=scrubber, around=around)


def both_ways(
    event: dict[str, Any], scrubber: Scrubber, around: Circumstances | None = None
) -> tuple[list[Any], list[Any]]:
    """Through the short ways, with nothing to remember and then from memory, and in the ordinary way."""
    around = around or Circumstances(received_at=AT)
    read(event, scrubber, around)
    short = read(event, scrubber, around)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragments, "split", lambda payload, scrubber: None)
        ordinary = read(event, scrubber, around)
    return _said(short), _said(ordinary)


def _said(event: NewEvent) -> list[Any]:
    return [
        json_codec.decode(event.payload),
        event.group_hash,
        event.title,
        event.culprit,
        event.tags,
    ]


@settings(deadline=None, max_examples=150)
@given(_EVENTS)
def test_an_event_read_in_parts_is_the_one_read_as_a_whole(event: dict[str, Any]) -> None:
    short, ordinary = both_ways(event, Scrubber())

    assert short == ordinary


@settings(deadline=None, max_examples=50)
@given(_EVENTS)
def test_the_parts_respect_an_apps_own_names(event: dict[str, Any]) -> None:
    short, ordinary = both_ways(event, Scrubber(["message", "vars", "order_id"], ["password"]))

    assert short == ordinary


def test_locals_with_locals_inside_stay_whole() -> None:
    inner = {"a": 1}
    frame = {"function": "pay", "data": {"vars": inner}, "vars": inner}
    event = {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [frame]}}]}}

    short, ordinary = both_ways({**event, "event_id": ID}, Scrubber())

    assert short == ordinary
    assert short[0]["exception"]["values"][0]["stacktrace"]["frames"] == [frame]


def test_locals_that_end_elsewhere_than_in_the_frame_before_are_told_apart() -> None:
    frame = {"function": "pay", "vars": {"a": "4111 1111 1111 1111"}, "in_app": True}
    other = {"function": "pay", "vars": {"a": 1}, "data": {"b": {"vars": 2}}, "in_app": True}
    scrubber = Scrubber()

    for one in (frame, other, frame):
        event = {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [one]}}]}}
        short, ordinary = both_ways({**event, "event_id": ID}, scrubber)
        assert short == ordinary


def test_breadcrumbs_of_a_client_with_a_wrong_clock_are_shifted() -> None:
    event = {"event_id": ID, "breadcrumbs": [{"message": "x", "timestamp": AT.timestamp() - 7200}]}
    around = Circumstances(received_at=AT, sent_at=AT - timedelta(hours=2))

    short, ordinary = both_ways(event, Scrubber(), around)

    assert short == ordinary
    [crumb] = short[0]["breadcrumbs"]["values"]
    assert crumb["timestamp"] == AT.isoformat()


@pytest.mark.parametrize("at", [4111111111111111.0, -4111111111111111.0, 4111111111111111])
def test_a_card_number_is_no_moment_of_a_breadcrumb(at: float) -> None:
    event = {"event_id": ID, "breadcrumbs": {"values": [{"message": "x", "timestamp": at}]}}

    short, ordinary = both_ways(event, Scrubber())

    assert short == ordinary
    assert short[0]["breadcrumbs"]["values"][0]["timestamp"] == "[Filtered]"


def test_a_usual_event_takes_the_short_way() -> None:
    frame = {"function": "pay", "filename": "shop/pay.py", "vars": {"card": "4111 1111 1111 1111"}}
    event = {
        "event_id": ID,
        "breadcrumbs": {"values": [{"message": "to jane@example.com", "data": {"password": "x"}}]},
        "exception": {"values": [{"type": "E", "stacktrace": {"frames": [frame]}}]},
    }

    parts = fragments.split(json.dumps(event, separators=(",", ":")).encode(), Scrubber())

    assert parts is not None
    assert sorted(parts[1].read) == ["breadcrumbs", "exception"]
    assert json_codec.decode(json_codec.encode(parts[1].encoded["breadcrumbs"])) == {
        "values": [{"message": "to [Filtered]", "data": {"password": "[Filtered]"}}]
    }
    assert b"4111" not in json_codec.encode(parts[1].encoded["exception"])


def test_tiny_frames_do_not_fill_the_memory() -> None:
    scrubber = Scrubber()

    for start in range(0, 10_000, 250):
        frames = [{"a": number, "vars": {}} for number in range(start, start + 250)]
        event = {"exception": {"values": [{"type": "E", "stacktrace": {"frames": frames}}]}}
        assert fragments.split(json.dumps(event, separators=(",", ":")).encode(), scrubber)

    most = fragments.MOST_REMEMBERED_BYTES // fragments.LEAST_REMEMBERED_BYTES + 2
    assert len(fragments._frames.young) <= most
    assert len(fragments._around_locals.young) <= most
