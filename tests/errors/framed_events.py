"""Create events with stacks, and check that they are stored the same with and without the frame cache."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sentry_sdk
from hypothesis import strategies as st
from sentry_sdk.transport import Transport

from core.lib.scrub import Scrubber
from errors.event import json_codec
from errors.event.build import IngestContext, build_event, build_event_from_json

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
CONTEXT = IngestContext(received_at=AT, event_id=ID)
WITH_WRONG_CLOCK = IngestContext(received_at=AT, event_id=ID, sent_at=AT - timedelta(hours=2))
PLAIN = Scrubber()
# Apps may declare names secret that occur as members of events or frames, or that contain the frames.
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
EVENTS = st.fixed_dictionaries(
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
    """Return the event as built without a cache. Assert that an empty and a filled frame cache give the same event."""
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


def sdk_event() -> bytes:
    """Return an event as sentry-sdk sends it, with stacks, local variables, breadcrumbs, modules and contexts."""
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
