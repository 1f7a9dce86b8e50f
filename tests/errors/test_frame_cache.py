"""The frame cache changes nothing: an event is the same with the cache, from the cache, and without it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.lib.scrub import Scrubber
from errors.event import frame_cache, json_codec
from errors.event.build import IngestContext, build_event_from_json
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


def build(payload: bytes, scrubber: Scrubber, context: IngestContext) -> NewEvent:
    return build_event_from_json(payload, app_id=1, scrubber=scrubber, context=context)


def is_the_same_without_cache(
    event: dict[str, Any], scrubber: Scrubber, context: IngestContext | None = None
) -> dict[str, Any]:
    """Return the stored document, after comparing every field with and without the cache."""
    context = context or IngestContext(received_at=AT)
    payload = json.dumps(event, separators=(",", ":")).encode()

    first, from_cache = (build(payload, scrubber, context) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_cache, "decode", lambda payload, scrubber: json_codec.decode(payload))
        plain = build(payload, scrubber, context)

    assert first == from_cache == plain
    document = json_codec.decode(first.payload)
    assert isinstance(document, dict)
    return document


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(_EVENTS)
def test_any_event_is_the_same_without_the_cache(event: dict[str, Any]) -> None:
    is_the_same_without_cache(event, Scrubber())


@settings(deadline=None, max_examples=50)
@given(_EVENTS)
def test_the_cache_respects_an_apps_own_secret_and_safe_names(event: dict[str, Any]) -> None:
    is_the_same_without_cache(event, Scrubber(["message", "vars", "order_id"], ["password"]))


def with_frames(*frames: dict[str, Any]) -> dict[str, Any]:
    values = [{"type": "E", "stacktrace": {"frames": list(frames)}}]
    return {"event_id": ID, "exception": {"values": values}}


def test_apps_with_different_secret_names_share_no_cached_frame() -> None:
    frame = {"function": "pay", "data": {"seat": "A7"}}

    open_document = is_the_same_without_cache(with_frames(frame), Scrubber())
    secret_document = is_the_same_without_cache(with_frames(frame), Scrubber(["seat"]))

    [value] = open_document["exception"]["values"]
    assert value["stacktrace"]["frames"] == [frame]
    assert "A7" not in json.dumps(secret_document)


def test_frames_that_differ_only_in_their_locals_keep_their_own() -> None:
    frames = [{"function": "pay", "vars": {"attempt": number}, "in_app": True} for number in (1, 2)]
    scrubber = Scrubber()

    for frame in (*frames, *frames):
        document = is_the_same_without_cache(with_frames(frame), scrubber)
        assert document["exception"]["values"][0]["stacktrace"]["frames"] == [frame]


def test_breadcrumbs_of_a_client_with_a_wrong_clock_are_shifted() -> None:
    event = {"event_id": ID, "breadcrumbs": [{"message": "x", "timestamp": AT.timestamp() - 7200}]}
    context = IngestContext(received_at=AT, sent_at=AT - timedelta(hours=2))

    document = is_the_same_without_cache(event, Scrubber(), context)

    [crumb] = document["breadcrumbs"]["values"]
    assert crumb["timestamp"] == AT.isoformat()


@pytest.mark.parametrize("at", [4111111111111111.0, -4111111111111111.0, 4111111111111111])
def test_a_card_number_as_the_timestamp_of_a_breadcrumb_is_filtered(at: float) -> None:
    event = {"event_id": ID, "breadcrumbs": {"values": [{"message": "x", "timestamp": at}]}}

    document = is_the_same_without_cache(event, Scrubber())

    assert document["breadcrumbs"]["values"][0]["timestamp"] == "[Filtered]"


def test_a_frame_that_was_seen_before_is_not_scrubbed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload = json.dumps(with_frames({"function": "once", "filename": "shop/pay.py"})).encode()
    scrubber = Scrubber()
    first = frame_cache.decode(payload, scrubber)

    monkeypatch.setattr(Scrubber, "scrub", lambda *_, **__: pytest.fail("scrubbed again"))

    assert frame_cache.decode(payload, scrubber) == first


def test_tiny_frames_do_not_fill_the_memory() -> None:
    scrubber = Scrubber()

    for start in range(0, 10_000, 250):
        event = with_frames(*({"a": number} for number in range(start, start + 250)))
        frame_cache.decode(json.dumps(event).encode(), scrubber)

    most = frame_cache.MAX_GENERATION_BYTES // frame_cache.MIN_CHARGED_BYTES + 2
    assert 0 < len(frame_cache._frames.young) <= most
