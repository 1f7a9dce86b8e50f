"""The frame cache changes nothing: an event is the same with the cache, from the cache, and without it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sentry_sdk
from hypothesis import given, settings
from hypothesis import strategies as st
from sentry_sdk.transport import Transport

from core.lib.scrub import Scrubber
from errors.event import frame_cache, json_codec
from errors.event.build import IngestContext, build_event, build_event_from_json
from errors.event.fingerprint import Frames
from errors.exceptions import Unreadable
from tests.errors.fuzz.shapes import INNER, MEMBERS, broken, events, fuzz, written

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
CONTEXT = IngestContext(received_at=AT, event_id=ID)
WITH_WRONG_CLOCK = IngestContext(received_at=AT, event_id=ID, sent_at=AT - timedelta(hours=2))
PLAIN = Scrubber()
# Names that stand on the way to a frame, in it, and in other members of an event.
SCRUBBERS = [
    PLAIN,
    Scrubber(["message", "vars", "order_id", "module", "django"], ["password"]),
    *(Scrubber([name]) for name in ("exception", "values", "stacktrace", "frames")),
    *(Scrubber([name]) for name in ("pre_context", "modules", "runtime")),
]  # fmt: skip
CARD = "4111 1111 1111 1111"

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
    st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(), st.floats(),
              st.sampled_from((4111111111111111, 10**30))),
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
_HOLDERS = st.dictionaries(_NAMES, _VALUES, max_size=3) | _VALUES
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
                    "stacktrace": st.fixed_dictionaries({"frames": st.lists(_FRAMES, max_size=4)}) | st.none(),
                }, optional={"mechanism": _VALUES, "thread_id": _VALUES, "other": _VALUES}),
                min_size=1,
                max_size=2,
            )
        }),
        "modules": _HOLDERS,
        "sdk": _HOLDERS,
        "contexts": _HOLDERS,
        "sentry.interfaces.User": _HOLDERS,
        "unknown": _VALUES,
        "extra": st.dictionaries(_NAMES, _VALUES, max_size=3),
        "tags": st.dictionaries(_NAMES, _TEXTS, max_size=3),
    },
)  # fmt: skip


def accepted(
    payload: bytes, scrubber: Scrubber = PLAIN, context: IngestContext = CONTEXT
) -> dict[str, Any]:
    """Accept an event with the cache, empty and then filled, and without. Assert that the three are equal."""
    given: dict[str, Any] = {"app_id": 1, "scrubber": scrubber, "context": context}
    without_cache = build_event(json_codec.decode(payload), **given, size=len(payload))
    for _ in range(2):
        assert build_event_from_json(payload, **given) == without_cache
    return {name: getattr(without_cache, name) for name in without_cache.__struct_fields__} | {
        "payload": without_cache.payload.decode()
    }


def stored(event: dict[str, Any], scrubber: Scrubber = PLAIN) -> Any:
    return json.loads(accepted(compact(event), scrubber)["payload"])


def compact(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def raised(*frames: Any) -> dict[str, Any]:
    return {"exception": {"values": [{"type": "E", "stacktrace": {"frames": list(frames)}}]}}


def frames_of(document: Any) -> Any:
    return document["exception"]["values"][0]["stacktrace"]["frames"]


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(_EVENTS, st.sampled_from(SCRUBBERS), st.sampled_from((CONTEXT, WITH_WRONG_CLOCK)))
def test_generated_events_are_accepted_as_without_the_cache(
    event: dict[str, Any], scrubber: Scrubber, context: IngestContext
) -> None:
    accepted(compact(event), scrubber, context)


@fuzz
@given(events, st.sampled_from(SCRUBBERS))
def test_odd_events_are_accepted_as_without_the_cache(
    event: dict[str, Any], scrubber: Scrubber
) -> None:
    accepted(written(event), scrubber)


def sdk_event() -> bytes:
    """Return an event as sentry-sdk sends it: two exceptions with stacks and locals, breadcrumbs, modules, contexts."""
    sent: list[Any] = []

    class Recorder(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope)

    client = sentry_sdk.Client(
        dsn="http://key@127.0.0.1:9/1", transport=Recorder, default_integrations=False
    )
    card = CARD
    with sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        scope.set_tag("order_id", "A1")
        scope.set_context("runtime", {"name": "CPython", "token": "hunter22"})
        scope.add_breadcrumb({"category": "query", "message": f"card={card}", "timestamp": AT})
        try:
            try:
                int(card)
            except ValueError as error:
                raise LookupError(f"no card {card}") from error
        except LookupError as error:
            scope.capture_exception(error)
    [envelope] = sent
    payload: bytes = envelope.items[0].payload.get_bytes()
    return payload


SDK_EVENT = sdk_event()
BROWSER_EVENT = raised(
    {"filename": "https://shop.example/app.1a2b3c4d.js", "function": "t.pay", "in_app": True, "lineno": 1},
    {"filename": "<anonymous>", "function": "Array.map", "in_app": True},
) | {
    "platform": "javascript",
    "breadcrumbs": [
        {"timestamp": 1790000000.5, "category": "fetch", "data": {"url": "/?token=abcdefghijkl", "status": 500}},
    ],
    "sdk": {"name": "sentry.javascript.react", "version": "10.1.0"},
}  # fmt: skip
SDK_EVENTS = [SDK_EVENT, json.dumps(BROWSER_EVENT, separators=(",", ":")).encode()]


@settings(deadline=None, max_examples=100)
@given(broken(st.sampled_from(SDK_EVENTS)), st.sampled_from(SCRUBBERS))
def test_damaged_events_are_accepted_as_without_the_cache(
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
        b',"function":"jane@example.com"}',  # a duplicate
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
def test_odd_frames_are_accepted_as_without_the_cache(rest: bytes, scrubber: Scrubber) -> None:
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
def test_odd_exceptions_are_accepted_as_without_the_cache(
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


def test_wrongly_encoded_text_in_an_unknown_member_counts_for_the_whole_event() -> None:
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


def test_frames_with_the_same_values_under_other_names_are_told_apart() -> None:
    one = {"function": "pay", "module": "shop", "vars": {}}
    other = {"module": "pay", "function": "shop", "vars": {}}

    assert frames_of(stored(raised(one, other, one))) == [one, other, one]


@pytest.mark.parametrize("name", [*MEMBERS, *INNER])
def test_an_app_may_call_any_member_secret(name: str) -> None:
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


def test_tiny_frames_and_long_names_do_not_fill_the_memory() -> None:
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
