"""Sentry's addresses: who may come in, what is taken, and how everything else is refused."""

import base64
import gzip
import json
import uuid
import zlib
from datetime import timedelta
from typing import Any

import brotli
import pytest
import zstandard
from django.utils import timezone

from errors.door import door
from errors.models import (
    Discarded,
    ErrorEvent,
    ErrorGroup,
    GroupHour,
    GroupTag,
    GroupUser,
    MinuteCount,
)
from errors.payloads import json_of, payload_of
from tests.errors.support import Sender, envelope, raised
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def sender() -> Sender:
    return Sender()


def the_event() -> ErrorEvent:
    return ErrorEvent.objects.get()


# --- what is taken ---------------------------------------------------------------------------------------


def test_an_event_is_stored_grouped_and_counted_when_it_is_answered(sender: Sender) -> None:
    answer = sender.send(raised(tags={"region": "eu"}, user={"id": 5}, release="shop@1.2"))

    assert answer.status_code == 200
    event = the_event()
    assert answer.json() == {"id": event.event_id.hex}
    assert event.message == "ValueError: bad seat"
    assert event.severity == "high"
    assert event.release == "shop@1.2"
    assert event.user_key == "5"
    assert event.group.title == "ValueError: bad seat"
    assert event.group.culprit == "shop.views in hold"
    assert (event.group.event_count, event.group.user_count) == (1, 1)
    assert sum(MinuteCount.objects.values_list("count", flat=True)) == 1
    assert GroupHour.objects.get().count == 1
    assert GroupUser.objects.get().user_key == "5"
    assert set(GroupTag.objects.values_list("key", "value")) == {
        ("region", "eu"),
        ("release", "shop@1.2"),
    }
    assert payload_of(event)["exception"]["values"][0]["type"] == "ValueError"


def test_the_same_event_sent_twice_is_stored_and_counted_once(sender: Sender) -> None:
    event = raised(event_id=uuid.uuid4().hex)

    first, second = sender.send(event), sender.send(event)

    assert first.json() == second.json() == {"id": event["event_id"]}
    assert (first.status_code, second.status_code) == (200, 200)
    assert ErrorGroup.objects.get().event_count == 1
    assert ErrorEvent.objects.count() == 1


def test_events_of_one_bug_fall_into_one_group(sender: Sender) -> None:
    for seat in range(5):
        sender.send(raised(value=f"seat {seat} is gone"))
    sender.send(raised(function="release"))

    counts = sorted(ErrorGroup.objects.values_list("event_count", flat=True))
    assert counts == [1, 5]


def test_further_events_of_a_group_are_read_back_from_what_differs(sender: Sender) -> None:
    for n in range(5):
        sender.send(raised(value=f"seat {n}", extra={"n": n}, modules={"a": "1", "b": "2"}))

    found = [payload_of(event)["extra"]["n"] for event in ErrorEvent.objects.order_by("pk")]

    assert found == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:40]) + gzip.compress(body[40:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("br", brotli.compress),
        ("zstd", lambda body: zstandard.ZstdCompressor().compress(body)),
        ("identity", bytes),
        ("", bytes),
        ("what-ever", bytes),
    ],
)
def test_every_encoding_of_the_sdks_is_read(sender: Sender, encoding: str, pack: Any) -> None:
    headers = {**sender.auth, "Content-Encoding": encoding}

    answer = sender.post(pack(envelope(raised())), headers=headers)

    assert answer.status_code == 200, answer.content
    assert the_event().message == "ValueError: bad seat"


def _basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:secret".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"X-Sentry-Auth": f"Sentry sentry_key={key}, sentry_version=7"},
        lambda key: {
            "X-Sentry-Auth": f"sentry sentry_version=7,sentry_key={key},sentry_client=x/1"
        },
        lambda key: {"X-Sentry-Auth": f"SENTRY  sentry_version=7 ,  sentry_key = {key}"},
        lambda key: {"Authorization": f"Sentry sentry_key={key}, sentry_secret=zz"},
        lambda key: {"Authorization": _basic(key)},
    ],
)
def test_every_header_that_carries_the_key_is_read(sender: Sender, headers: Any) -> None:
    assert sender.post(envelope(raised()), headers=headers(sender.key)).status_code == 200


def test_the_key_may_come_in_the_query_or_in_the_envelopes_dsn(sender: Sender) -> None:
    url = f"{sender.envelope_url}?sentry_version=7&sentry_key={sender.key}"
    dsn = {"dsn": f"https://{sender.key}@portal.example/{sender.app.pk}"}

    assert sender.post(envelope(raised()), url, headers={}).status_code == 200
    assert sender.post(envelope(raised(), header=dsn), headers={}).status_code == 200
    assert sender.post(envelope(raised(), header=dsn), "/tunnel/", headers={}).status_code == 200
    assert ErrorGroup.objects.get().event_count == 3


@pytest.mark.parametrize("path", ["/api/{}/envelope", "/api//{}//envelope//", "/api/{}/envelope/"])
def test_slashes_may_be_missing_or_doubled_without_a_redirect(sender: Sender, path: str) -> None:
    answer = sender.post(envelope(raised()), path.format(sender.app.pk))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "pack", [bytes, lambda body: base64.b64encode(zlib.compress(body))], ids=["json", "base64"]
)
def test_the_old_store_address_takes_an_event(sender: Sender, pack: Any) -> None:
    answer = sender.post(
        pack(json.dumps(raised()).encode()), f"/api/{sender.app.pk}/store/", content_type=""
    )

    assert answer.json() == {"id": the_event().event_id.hex}


def test_csp_reports_become_errors(sender: Sender) -> None:
    report = {
        "csp-report": {
            "document-uri": "https://shop.example/pay",
            "violated-directive": "script-src-elem",
            "effective-directive": "script-src-elem",
            "blocked-uri": "https://evil.example/x.js",
        }
    }
    url = f"/api/{sender.app.pk}/security/?sentry_key={sender.key}"

    answer = sender.post(json.dumps(report).encode(), url, headers={})

    assert answer.status_code == 200
    assert the_event().message == "Blocked 'script-src-elem' from 'https://evil.example'"


def test_a_bundle_of_reports_becomes_one_error_each(sender: Sender) -> None:
    bundle = [
        {"type": "csp-violation", "url": "https://shop.example/", "body": {"effectiveDirective": "img-src", "blockedURL": "inline"}},
        {"type": "deprecation", "url": "https://shop.example/", "body": {"id": "x", "message": "old"}},
    ]  # fmt: skip
    url = f"/api/{sender.app.pk}/security/?sentry_key={sender.key}"

    assert sender.post(json.dumps(bundle).encode(), url, headers={}).status_code == 200
    assert ErrorEvent.objects.count() == 2


# --- framing ------------------------------------------------------------------------------------------------


def test_an_item_without_length_ends_at_the_line(sender: Sender) -> None:
    body = b'{}\n{"type":"event"}\n' + json.dumps(raised()).encode()

    assert sender.post(body).status_code == 200
    assert the_event()


def test_blank_lines_and_a_last_header_without_payload_are_legal(sender: Sender) -> None:
    event = json.dumps(raised()).encode()
    body = b'{}\n\n\n{"type":"event"}\n' + event + b'\n\n{"type":"attachment","length":0}'

    assert sender.post(body).status_code == 200
    assert the_event()


def test_an_envelope_without_items_is_fine(sender: Sender) -> None:
    answer = sender.post(b"{}")

    assert (answer.status_code, answer.json()) == (200, {})


def test_unknown_items_and_a_second_event_are_passed_over(sender: Sender) -> None:
    event = json.dumps(raised()).encode()
    body = b"\n".join(
        [b"{}", b'{"type":"hologram","length":3}', b"\n\n\n", b'{"type":"event"}', event, b'{"type":"event"}', event]
    )  # fmt: skip

    assert sender.post(body).status_code == 200
    assert ErrorEvent.objects.count() == 1


def test_an_envelope_cut_short_after_its_event_keeps_the_event(sender: Sender) -> None:
    body = envelope(raised()) + b'{"type":"attachment","length":9999}\nabc'

    assert sender.post(body).status_code == 200
    assert the_event()


def test_the_envelopes_id_wins_and_may_have_dashes(sender: Sender) -> None:
    wanted = uuid.uuid4()

    answer = sender.send(
        raised(event_id=uuid.uuid4().hex), header={"event_id": str(wanted).upper()}
    )

    assert answer.json() == {"id": wanted.hex}


@pytest.mark.parametrize(
    "header",
    [{"sent_at": 5}, {"sent_at": "soon"}, {"sdk": [1]}, {"trace": "x"}, {"event_id": {"a": 1}}],
)
def test_a_bad_optional_header_never_rejects_the_event(sender: Sender, header: Any) -> None:
    assert sender.send(raised(), header=header).status_code == 200


# --- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"a":',
        b'{}\n{"type":"event","length":999}\n{}',
        b'{}\n{"type":"event","length":1}\n{}x',
        b'{}\n{"type":"event","length":"x"}\n{}',
        b'{}\n{"type":"event"}\nnot json',
        b'{}\n{"type":"event"}\n[1]',
        b"{}\n" + b'{"x":"' + b"a" * 9000 + b'"}\n{}',
        b"\xff\xfe\x00",
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(sender: Sender, body: bytes) -> None:
    answer = sender.post(body)

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert answer["X-Sentry-Error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", [b"not packed at all", b"\x1f\x8b\x08\x00"])
def test_corrupt_compression_is_refused(sender: Sender, encoding: str, body: bytes) -> None:
    answer = sender.post(body, headers={**sender.auth, "Content-Encoding": encoding})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", lambda body: zstandard.ZstdCompressor().compress(body)),
    ],
)
def test_a_decompression_bomb_is_refused_early(sender: Sender, encoding: str, pack: Any) -> None:
    bomb = pack(b"\0" * (64 * 1024 * 1024))

    answer = sender.post(bomb, headers={**sender.auth, "Content-Encoding": encoding})

    assert answer.status_code == 413


def test_what_is_too_large_is_refused(sender: Sender) -> None:
    assert sender.post(b"x" * (5 * 1024 * 1024 + 1)).status_code == 413
    assert sender.send(raised(extra={"x": "y" * 2_000_000})).status_code == 413


def test_without_a_key_it_is_401_and_with_a_wrong_one_403(sender: Sender) -> None:
    other = Sender()
    wrong = {"X-Sentry-Auth": f"Sentry sentry_key={'0' * 32}"}
    body = envelope(raised())

    assert sender.post(body, headers={}).status_code == 401
    assert sender.post(body, headers={"X-Sentry-Auth": "Sentry"}).status_code == 401
    refused = [
        sender.post(body, headers=wrong),
        sender.post(body, headers=other.auth),
        sender.post(body, "/api/999999/envelope/"),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert len({answer.content for answer in refused}) == 1


def test_a_revoked_key_is_refused(sender: Sender) -> None:
    sender.app.keys.update(revoked_at=timezone.now())
    door.forget()

    assert sender.send(raised()).status_code == 403


def test_a_dsn_that_disagrees_with_the_address_is_refused(sender: Sender) -> None:
    other = {"dsn": f"https://{sender.key}@portal.example/{sender.app.pk + 1}"}

    assert sender.send(raised(), header=other).status_code == 400


def test_minidumps_are_refused_with_a_clear_text(sender: Sender) -> None:
    answer = sender.post(b"MDMP", f"/api/{sender.app.pk}/minidump/")

    assert answer.status_code == 415
    assert "minidump" in answer.json()["detail"]


def test_other_methods_are_refused(sender: Sender) -> None:
    assert sender.client.get(sender.envelope_url).status_code == 405


# --- CORS -------------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_cors_headers(sender: Sender) -> None:
    answers = [
        sender.send(raised()),
        sender.post(b""),
        sender.post(envelope(raised()), headers={}),
        sender.client.options(sender.envelope_url, headers={"Origin": "https://shop.example"}),
        sender.client.get(sender.envelope_url),
    ]

    assert [answer.status_code for answer in answers] == [200, 400, 401, 200, 405]
    for answer in answers:
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer["Access-Control-Expose-Headers"]
        assert "x-sentry-auth" in answer["Access-Control-Allow-Headers"]


def test_an_app_with_origins_takes_errors_from_those_only() -> None:
    sender = Sender(make_app(allowed_origins=["https://shop.example"]))
    good = {**sender.auth, "Origin": "https://shop.example"}
    bad = {**sender.auth, "Origin": "https://evil.example"}

    taken, refused = (sender.post(envelope(raised()), headers=headers) for headers in (good, bad))

    assert (taken.status_code, refused.status_code) == (200, 403)
    assert taken["Access-Control-Allow-Origin"] == "https://shop.example"
    assert refused["Access-Control-Allow-Origin"] == "https://shop.example"


# --- quotas -----------------------------------------------------------------------------------------------------


def test_over_quota_is_429_with_the_headers_sdks_obey_and_no_body() -> None:
    sender = Sender(make_app(events_per_hour=2))

    statuses = [sender.send(raised()).status_code for _ in range(2)]
    refused = sender.send(raised())

    assert statuses == [200, 200]
    assert (refused.status_code, refused.getvalue()) == (429, b"")
    wait = int(refused["Retry-After"])
    assert 0 < wait <= 3600
    assert refused["X-Sentry-Rate-Limits"] == f"{wait}:error;default;security:project:quota"
    assert refused["Access-Control-Allow-Origin"] == "*"
    row = Discarded.objects.get()
    assert (row.source, row.reason, row.count) == ("quota", "hour", 1)
    assert ErrorEvent.objects.count() == 2


# --- rubbish is kept with a note, or refused; never a 5xx ----------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b'{"message":"x","extra":{"a":NaN,"b":Infinity,"c":-Infinity}}',
        b'{"message":"nul \\u0000 byte","tags":{"a\\u0000":"b\\u0000"}}',
        b'{"message":"lone \\ud800 surrogate","extra":{"\\udfff":"\\udead"}}',
        b'{"message":"raw \xff\xfe bytes"}',
        b'{"message":"big","extra":{"n":' + b"9" * 5000 + b"}}",
        b'{"message":"exp","extra":{"n":1e999}}',
        b'{"message":"x","timestamp":1e300,"level":1e300}',
        b'{"message":"deep","extra":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    ],
)
def test_odd_values_are_mended_and_the_event_kept(sender: Sender, payload: bytes) -> None:
    answer = sender.post(b'{}\n{"type":"event"}\n' + payload)

    assert answer.status_code == 200, answer.content
    assert b"\\u0000" not in json_of(the_event())
    json.loads(json_of(the_event()), parse_constant=pytest.fail)


def test_json_ten_thousand_levels_deep_is_refused_or_kept(sender: Sender) -> None:
    deep = b'{"message":"x","extra":' + b"[" * 10_000 + b"]" * 10_000 + b"}"

    assert sender.post(b'{}\n{"type":"event"}\n' + deep).status_code in (200, 400)


_FIELDS = [
    "event_id",
    "timestamp",
    "platform",
    "level",
    "logger",
    "transaction",
    "server_name",
    "release",
    "dist",
    "environment",
    "logentry",
    "message",
    "exception",
    "threads",
    "stacktrace",
    "breadcrumbs",
    "user",
    "request",
    "contexts",
    "tags",
    "extra",
    "modules",
    "sdk",
    "fingerprint",
    "culprit",
    "debug_meta",
    "errors",
    "csp",
    "type",
    "sentry.interfaces.Http",
]
_WRONG: list[Any] = [
    0, -1, 1.5, True, "", "x", [], [[]], [None], ["a", "b"], {}, {"values": 5}, {"values": [1, "a", None, []]},
    {"frames": None}, {"a": {"b": [{"c": 1}]}}, [{"stacktrace": {"frames": [1, None, {"lineno": "x", "vars": [1]}]}}],
    {"values": [{"stacktrace": {"frames": [{"filename": 5, "context_line": {}, "pre_context": 4}]}}]},
    {"headers": [["a"], 1, ["b", {}]], "query_string": 7, "cookies": 3, "env": []},
    {"message": {"a": 1}, "params": 5}, {"message": "%999999999999d %s", "params": [1]}, {"message": "%(a)s", "params": []},
]  # fmt: skip


@pytest.mark.parametrize("field", _FIELDS)
def test_a_wrong_type_in_any_field_never_loses_the_event(sender: Sender, field: str) -> None:
    for number, wrong in enumerate(_WRONG):
        event = {"message": f"kept {number}", **({"logentry": None} if field == "message" else {})}
        event[field] = wrong

        answer = sender.send(event, header={"event_id": uuid.uuid4().hex})

        assert answer.status_code == 200, (field, wrong, answer.content)
    assert ErrorEvent.objects.count() == len(_WRONG)


# --- time ---------------------------------------------------------------------------------------------------------


def test_a_client_whose_clock_is_off_is_put_right(sender: Sender) -> None:
    off = timezone.now() - timedelta(hours=5)

    sender.send(raised(timestamp=off.timestamp() - 60), header={"sent_at": off.isoformat()})

    assert abs(the_event().occurred_at - (timezone.now() - timedelta(minutes=1))) < timedelta(
        seconds=20
    )


@pytest.mark.parametrize("days", [-31, 1, 4000])
def test_an_implausible_time_is_replaced_and_noted(sender: Sender, days: int) -> None:
    moment = timezone.now() + timedelta(days=days)

    sender.send(raised(timestamp=moment.isoformat()))

    event = the_event()
    assert abs(event.occurred_at - timezone.now()) < timedelta(seconds=20)
    assert {"type": "implausible", "name": "timestamp"} in payload_of(event)["errors"]
