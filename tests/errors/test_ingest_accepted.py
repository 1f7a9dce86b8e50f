"""Test that the Sentry endpoints accept all encodings and framings that SDKs use."""

import base64
import gzip
import json
import uuid
import zlib
from typing import Any

import brotli
import pytest
import zstandard

from errors.models import ErrorEvent, ErrorGroup, GroupHour, GroupTag, GroupUser, MinuteCount
from errors.store.payloads import payload_of
from tests.errors.support import Sender, envelope, raised

pytestmark = pytest.mark.django_db


def test_an_event_is_stored_grouped_and_counted_before_the_response(sender: Sender) -> None:
    answer = sender.send(raised(tags={"region": "eu"}, user={"id": 5}, release="shop@1.2"))

    assert answer.status_code == 200
    event = ErrorEvent.objects.get()
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


def test_events_with_the_same_cause_belong_to_one_group(sender: Sender) -> None:
    for seat in range(5):
        sender.send(raised(value=f"seat {seat} is gone"))
    sender.send(raised(function="release"))

    counts = sorted(ErrorGroup.objects.values_list("event_count", flat=True))
    assert counts == [1, 5]


def test_payloads_compressed_against_a_dictionary_are_read_back(sender: Sender) -> None:
    for n in range(5):
        sender.send(raised(value=f"seat {n}", extra={"n": n}, modules={"a": "1", "b": "2"}))

    found = [payload_of(event)["extra"]["n"] for event in ErrorEvent.objects.order_by("pk")]

    assert found == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("text", ["NULL", '{"a",b}', "a\\b\\", '"', "a,b c", "{}", "ß\n\t'"])
def test_text_that_resembles_sql_or_array_syntax_is_stored_verbatim(
    sender: Sender, text: str
) -> None:
    sender.send(
        raised(value=text, environment=text, user={"id": text}, tags={"seat": text}, function=text)
    )

    event = ErrorEvent.objects.get()
    assert (event.environment, event.user_key) == (text, text)
    assert event.message == f"ValueError: {text}".splitlines()[0]
    assert GroupTag.objects.get(key="seat").value == text


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:40]) + gzip.compress(body[40:])),
        ("gzip", lambda body: gzip.compress(body) + bytes(9)),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("br", brotli.compress),
        ("zstd", lambda body: zstandard.ZstdCompressor().compress(body)),
        ("identity", bytes),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("deflate, br", lambda body: brotli.compress(zlib.compress(body))),
        ("identity, gzip", gzip.compress),
        ("", bytes),
    ],
)
def test_every_content_encoding_of_the_sdks_is_supported(
    sender: Sender, encoding: str, pack: Any
) -> None:
    headers = {**sender.auth, "Content-Encoding": encoding}

    answer = sender.post(pack(envelope(raised())), headers=headers)

    assert answer.status_code == 200, answer.content
    assert ErrorEvent.objects.get().message == "ValueError: bad seat"


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
def test_the_key_is_accepted_in_every_header_that_sdks_use(sender: Sender, headers: Any) -> None:
    assert sender.post(envelope(raised()), headers=headers(sender.key)).status_code == 200


def test_the_key_is_accepted_in_the_query_and_in_the_envelopes_dsn(sender: Sender) -> None:
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
def test_the_old_store_endpoint_accepts_an_event(sender: Sender, pack: Any) -> None:
    answer = sender.post(
        pack(json.dumps(raised()).encode()), f"/api/{sender.app.pk}/store/", content_type=""
    )

    assert answer.json() == {"id": ErrorEvent.objects.get().event_id.hex}


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
    assert (
        ErrorEvent.objects.get().message == "Blocked 'script-src-elem' from 'https://evil.example'"
    )


def test_each_report_of_a_bundle_becomes_an_error(sender: Sender) -> None:
    bundle = [
        {"type": "csp-violation", "url": "https://shop.example/",
         "body": {"effectiveDirective": "img-src", "blockedURL": "inline"}},
        {"type": "deprecation", "url": "https://shop.example/", "body": {"id": "x", "message": "old"}},
    ]  # fmt: skip
    url = f"/api/{sender.app.pk}/security/?sentry_key={sender.key}"

    assert sender.post(json.dumps(bundle).encode(), url, headers={}).status_code == 200
    assert ErrorEvent.objects.count() == 2


def test_an_item_without_length_ends_at_the_line(sender: Sender) -> None:
    body = b'{}\n{"type":"event"}\n' + json.dumps(raised()).encode()

    assert sender.post(body).status_code == 200
    assert ErrorEvent.objects.get()


def test_blank_lines_and_a_last_header_without_payload_are_accepted(sender: Sender) -> None:
    event = json.dumps(raised()).encode()
    body = b'{}\n\n\n{"type":"event"}\n' + event + b'\n\n{"type":"attachment","length":0}'

    assert sender.post(body).status_code == 200
    assert ErrorEvent.objects.get()


def test_an_envelope_without_items_is_accepted(sender: Sender) -> None:
    answer = sender.post(b"{}")

    assert (answer.status_code, answer.json()) == (200, {})


def test_unknown_items_and_a_second_event_are_ignored(sender: Sender) -> None:
    event = json.dumps(raised()).encode()
    body = b"\n".join(
        [b"{}", b'{"type":"hologram","length":3}', b"\n\n\n", b'{"type":"event"}', event, b'{"type":"event"}', event]
    )  # fmt: skip

    assert sender.post(body).status_code == 200
    assert ErrorEvent.objects.count() == 1


def test_the_event_of_a_truncated_envelope_is_stored(sender: Sender) -> None:
    body = envelope(raised()) + b'{"type":"attachment","length":9999}\nabc'

    assert sender.post(body).status_code == 200
    assert ErrorEvent.objects.get()


def test_the_envelopes_event_id_wins_and_may_contain_dashes(sender: Sender) -> None:
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


def test_a_phone_number_as_user_id_is_stored_as_a_pseudonym(sender: Sender) -> None:
    for number in ("+49 151 2345678", "+49-151-2345678"):
        sender.send(raised(user={"id": number, "username": number}))

    keys = set(ErrorEvent.objects.values_list("user_key", flat=True))
    assert len(keys) == 1
    assert "2345678" not in "".join(keys)
    assert "2345678" not in repr([payload_of(event) for event in ErrorEvent.objects.all()])
