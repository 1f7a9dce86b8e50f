"""Test how the Sentry endpoints refuse invalid requests, foreign origins and requests over a quota."""

import gzip
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from django.utils import timezone

from core.clients import services
from errors.ingest.authentication import key_cache
from errors.models import Discarded, ErrorEvent
from tests.errors.support import Sender, envelope, raised
from tests.factories import make_app

pytestmark = pytest.mark.django_db


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
def test_unreadable_bodies_are_refused_with_a_reason(sender: Sender, body: bytes) -> None:
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
    "encoding", ["compress", "gzip, rot13", "gzip,gzip,gzip", "utf-8", "aws-chunked"]
)
def test_an_encoding_that_is_not_supported_is_refused_with_415(
    sender: Sender, encoding: str
) -> None:
    answer = sender.post(envelope(raised()), headers={**sender.auth, "Content-Encoding": encoding})

    assert answer.status_code == 415
    assert answer["Accept-Encoding"] == "gzip, x-gzip, deflate, br, zstd"
    assert f"Content-Encoding '{encoding}' is not supported" in answer["X-Sentry-Error"]


@pytest.mark.slow
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


def test_oversized_bodies_and_events_are_refused(sender: Sender) -> None:
    assert sender.post(b"x" * (5 * 1024 * 1024 + 1)).status_code == 413
    assert sender.send(raised(extra={"x": "y" * 2_000_000})).status_code == 413


def test_a_missing_key_gets_401_and_a_wrong_key_403(sender: Sender) -> None:
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
    key_cache.clear()

    assert sender.send(raised()).status_code == 403


@pytest.mark.parametrize("change", ["revoke", "delete", "deactivate the app"])
def test_a_key_that_this_process_revokes_is_refused_at_once(
    sender: Sender, change: str, django_capture_on_commit_callbacks: Any
) -> None:
    assert sender.send(raised()).status_code == 200
    key = sender.app.keys.get()

    with django_capture_on_commit_callbacks(execute=True):
        match change:
            case "revoke":
                services.revoke(key, now=timezone.now())
            case "delete":
                key.delete()
            case _:
                sender.app.is_active = False
                sender.app.save()

    assert sender.send(raised()).status_code == 403


def test_a_dsn_that_contradicts_the_url_is_refused(sender: Sender) -> None:
    other = {"dsn": f"https://{sender.key}@portal.example/{sender.app.pk + 1}"}

    assert sender.send(raised(), header=other).status_code == 400


def test_minidumps_are_refused_with_a_clear_message(sender: Sender) -> None:
    answer = sender.post(b"MDMP", f"/api/{sender.app.pk}/minidump/")

    assert answer.status_code == 415
    assert "minidump" in answer.json()["detail"]


def test_other_methods_are_refused(sender: Sender) -> None:
    assert sender.client.get(sender.envelope_url).status_code == 405


def test_every_response_has_the_cors_headers(sender: Sender) -> None:
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


def test_an_app_with_allowed_origins_refuses_other_origins() -> None:
    sender = Sender(make_app(allowed_origins=["https://shop.example"]))
    good = {**sender.auth, "Origin": "https://shop.example"}
    bad = {**sender.auth, "Origin": "https://evil.example"}

    taken, refused = (sender.post(envelope(raised()), headers=headers) for headers in (good, bad))

    assert (taken.status_code, refused.status_code) == (200, 403)
    assert taken["Access-Control-Allow-Origin"] == "https://shop.example"
    assert refused["Access-Control-Allow-Origin"] == "https://shop.example"


def test_over_quota_the_response_is_429_with_rate_limit_headers_and_no_body() -> None:
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
