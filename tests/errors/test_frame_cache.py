"""Test that an event is stored the same whether its frames are uncached, newly cached, or read from the cache."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.lib.scrub import Scrubber
from errors.event import frame_cache, json_codec
from errors.event.accessors import Frames
from errors.event.build import IngestContext
from errors.exceptions import Unreadable
from tests.errors.framed_events import (
    AT,
    CARD,
    CONTEXT,
    EVENTS,
    PLAIN,
    SCRUBBERS,
    SDK_EVENTS,
    WITH_WRONG_CLOCK,
    accepted,
    compact,
    frames_of,
    raised,
    stored,
)
from tests.errors.fuzz.shapes import INNER, MEMBERS, broken, events, fuzz, written


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(EVENTS, st.sampled_from(SCRUBBERS), st.sampled_from((CONTEXT, WITH_WRONG_CLOCK)))
def test_generated_events_are_stored_the_same_with_and_without_the_cache(
    event: dict[str, Any], scrubber: Scrubber, context: IngestContext
) -> None:
    accepted(compact(event), scrubber, context)


@fuzz
@given(events, st.sampled_from(SCRUBBERS))
def test_odd_events_are_stored_the_same_with_and_without_the_cache(
    event: dict[str, Any], scrubber: Scrubber
) -> None:
    accepted(written(event), scrubber)


@settings(deadline=None, max_examples=100)
@given(broken(st.sampled_from(SDK_EVENTS)), st.sampled_from(SCRUBBERS))
def test_damaged_events_are_stored_the_same_with_and_without_the_cache(
    payload: bytes, scrubber: Scrubber
) -> None:
    try:
        whole = json_codec.decode(payload)
    except Unreadable:
        with pytest.raises(Unreadable):
            frame_cache.decode(payload, scrubber)
        return
    if isinstance(whole, dict):
        accepted(payload, scrubber)


@pytest.mark.parametrize("payload", SDK_EVENTS, ids=["Python", "browser"])
def test_an_sdks_event_uses_the_cache(payload: bytes) -> None:
    event = accepted(payload)

    for secret in ("hunter22", "4111", "abcdefghijkl"):
        assert secret not in event["payload"]
    for exception in frame_cache.decode(payload, PLAIN)["exception"]["values"]:
        assert isinstance(exception["stacktrace"]["frames"], Frames)


FRAME = b'{"function":"pay","filename":"shop/pay.py","in_app":true'
DEEP = b"[" * 40 + b'"jane@example.com"' + b"]" * 40


@pytest.mark.parametrize("scrubber", SCRUBBERS[:2])
@pytest.mark.parametrize(
    "rest",
    [
        b',"function":"jane@example.com"}',  # This member makes "function" appear twice in the frame.
        b',"vars":{"a":1},"vars":{"card":"4111 1111 1111 1111"}}',
        b',"vars":[1,"4111 1111 1111 1111"]}',
        b',"vars":null}',
        b',"vars":{"a":{"vars":1}},"data":{"vars":"jane@example.com"}}',
        rb',"v\u0061rs":{"p\u0061ssword":"x"}}',
        rb',"module":"4111\u0000 1111 1111 1111"}',
        rb',"module":"jane@example.com\ud800"}',
        b',"module":"\xff jane@example.com"}',
        b',"lineno":99999999999999999999999999}',
        b',"lineno":1e999}',
        b',"lineno":NaN}',
        b',"data":' + DEEP + b"}",
        b',"vars":{"a":' + DEEP + b"}}",
        b',"pre_context":["token=abcdefghijkl","x"],"post_context":["4111 1111 1111 1111"]}',
        b',"pre_context":{"jane@example.com":1},"post_context":[["api_key","hunter22"],[["x"]]]}',
        b',"message":"text","order_id":"A1","jane@example.com":"x"}',
        b' , "vars" : { "card" : 4111111111111111 } }',
        b',"platform":"' + b"x" * 20_000 + b'"}',
    ],
)
def test_odd_frames_are_stored_the_same_with_and_without_the_cache(
    rest: bytes, scrubber: Scrubber
) -> None:
    frames = b"[" + FRAME + rest + b"," + FRAME + b"}]"
    event = b'{"exception":{"values":[{"type":"E","stacktrace":{"frames":%b}}]}}' % frames

    document = accepted(event, scrubber)["payload"]

    assert "example.com" not in document
    assert "1111" not in document
    assert "hunter22" not in document


@pytest.mark.parametrize(
    "exception",
    [
        b"null",
        b"7",
        b"[]",
        b'{"type":"E","value":"jane@example.com","stacktrace":{"frames":[{"function":"f"}]}}',
        b'[{"type":"E","stacktrace":{"frames":[{"function":"jane@example.com"}]}}]',
        b'{"values":[null,{"type":"E"}]}',
        b'{"values":[{"type":"E"}],"values":[{"type":"jane@example.com"}]}',
        b'{"values":[{"type":"E","own":"jane@example.com"}],"own":1}',
        b'{"values":[{"stacktrace":null},{"stacktrace":{}},{"stacktrace":{"frames":null}}]}',
        b'{"values":[{"stacktrace":{"frames":[{"function":"f"}],"registers":{"a":"jane@example.com"}}}]}',
        b'{"values":[{"stacktrace":{"frames":[null,7,{"function":"jane@example.com"}]}}]}',
        b'{"values":[{"stacktrace":{"frames":[]}}]}',
        b'{"values":[{"stacktrace":{"frames":[%b]}}]}'
        % b",".join(b'{"lineno":%d,"module":"jane@example.com"}' % n for n in range(300)),
        b'{"values":[{"type":["jane@example.com"],"value":"%b","mechanism":{"password":"x"}}]}'
        % (b"x" * 9000),
    ],
)
@pytest.mark.parametrize("scrubber", SCRUBBERS)
def test_odd_exceptions_are_stored_the_same_with_and_without_the_cache(
    exception: bytes, scrubber: Scrubber
) -> None:
    for name in (b"exception", b"sentry.interfaces.Exception", rb"exc\u0065ption"):
        event = accepted(b'{"%b":%b,"contexts":{"a":{"b":1}}}' % (name, exception), scrubber)
        assert "example.com" not in event["payload"]


@pytest.mark.parametrize("name", ["modules", "sdk", "contexts", "extra"])
@pytest.mark.parametrize(
    "member",
    [
        b"null",
        b'["jane@example.com"]',
        b'{"django":"5.2","jane@example.com":"1"}',
        b'{"runtime":{"version":"10.1.2.3","token":"x"}}',
        b'{"a":' + DEEP + b"}",
        b'{"a":1,"a":4111111111111111}',
        b'{"a":-4111111111111111.0,"b":1e999}',
    ],
)
@pytest.mark.parametrize("scrubber", SCRUBBERS)
def test_cached_members_are_scrubbed_for_each_app(
    name: str, member: bytes, scrubber: Scrubber
) -> None:
    event = accepted(b'{"%b":%b}' % (name.encode(), member), scrubber)

    assert "example.com" not in event["payload"]
    assert "4111111111111111" not in event["payload"]


def test_wrongly_encoded_text_in_an_unknown_member_affects_the_whole_event() -> None:
    event = accepted(b'{"unknown":"\xff","extra":{"number":12345678901234567890}}')

    assert json.loads(event["payload"])["extra"] == {"number": 1.2345678901234567e19}


@pytest.mark.parametrize("timestamp", [4111111111111111.0, -4111111111111111.0, 4111111111111111])
def test_a_card_number_as_a_breadcrumbs_timestamp_is_filtered(timestamp: float) -> None:
    document = stored({"breadcrumbs": {"values": [{"message": "x", "timestamp": timestamp}]}})

    assert document["breadcrumbs"]["values"][0]["timestamp"] == "[Filtered]"


def test_breadcrumbs_of_a_client_with_a_wrong_clock_are_shifted() -> None:
    event = {"breadcrumbs": [{"message": "x", "timestamp": AT.timestamp() - 7200}]}

    document = json.loads(accepted(compact(event), context=WITH_WRONG_CLOCK)["payload"])

    assert document["breadcrumbs"]["values"][0]["timestamp"] == AT.isoformat()


def test_a_cached_frame_gets_the_locals_of_its_own_event() -> None:
    frame = {"function": "pay", "vars": {"card": CARD}, "in_app": True}
    other = {"function": "pay", "vars": {"card": 1}, "in_app": True}

    for _ in range(2):
        assert frames_of(stored(raised(frame, other, frame))) == [
            {"function": "pay", "vars": {"card": "[Filtered]"}, "in_app": True},
            other,
            {"function": "pay", "vars": {"card": "[Filtered]"}, "in_app": True},
        ]


def test_frames_with_the_same_values_under_other_names_are_distinguished() -> None:
    one = {"function": "pay", "module": "shop", "vars": {}}
    other = {"module": "pay", "function": "shop", "vars": {}}

    assert frames_of(stored(raised(one, other, one))) == [one, other, one]


@pytest.mark.parametrize("name", [*MEMBERS, *INNER])
def test_an_app_may_declare_any_member_secret(name: str) -> None:
    frame = {"function": "pay", "module": "shop", "context_line": "pay()", "pre_context": ["x"]}
    event = raised({**frame, "vars": {"a": 1}}) | {
        "breadcrumbs": [{"message": "x", "data": {"url": "/"}}],
        "contexts": {"os": {"name": "Linux"}},
        "request": {"url": "/", "headers": [["Host", "x"]], "query_string": "a=b"},
        "tags": {"a": "b"},
        "extra": {"a": 1},
        "user": {"id": "7"},
        "logentry": {"message": "%s", "params": ["x"]},
        "modules": {"django": "5.2"},
    }

    accepted(compact(event), Scrubber([name]))
    accepted(compact({**event, "exception": None}), Scrubber([name]))


def test_a_frame_that_was_seen_before_is_not_scrubbed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload = compact(raised({"function": "once", "filename": "shop/pay.py"}))
    first = frame_cache.decode(payload, PLAIN)

    monkeypatch.setattr(Scrubber, "scrub", lambda *_, **__: pytest.fail("scrubbed again"))

    assert frame_cache.decode(payload, PLAIN) == first


def test_the_cache_is_kept_apart_for_each_scrubber() -> None:
    event = raised({"function": "pay", "order_id": "A1"})

    assert frames_of(stored(event))[0]["order_id"] == "A1"
    assert frames_of(stored(event, Scrubber(["order_id"])))[0]["order_id"] == "[Filtered]"


def test_tiny_frames_and_long_names_cannot_exhaust_the_memory() -> None:
    cache = frame_cache._frames
    for start in range(0, 20_000, 250):
        frames = [{"a": number, "vars": {}} for number in range(start, start + 250)]
        frame_cache.decode(compact(raised(*frames)), PLAIN)
    most = frame_cache.MAX_GENERATION_BYTES // frame_cache.MIN_CHARGED_BYTES + 2
    assert len(cache.young) <= most

    frames = [{f"{number}{'x' * 10_000}": 1, "vars": {}} for number in range(1_000)]
    for frame in frames:
        frame_cache.decode(compact(raised(frame)), PLAIN)
    young = sum(len(key[1]) for key in cache.young)
    assert young <= frame_cache.MAX_GENERATION_BYTES + frame_cache.MAX_ENTRY_BYTES

    frame_cache.decode(compact(raised({"module": "x" * frame_cache.MAX_ENTRY_BYTES})), PLAIN)
    assert max(len(key[1]) for key in cache.young) <= frame_cache.MAX_ENTRY_BYTES
