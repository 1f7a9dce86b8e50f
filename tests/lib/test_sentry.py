"""Test that errors are reported to Sentry with the region, the instance and the request, but without personal data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import brotli
import pytest

from core.lib import sentry
from tests.lib.loopback import answer, serving
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run

PROGRAM = """
import django, os
django.setup()
from django.conf import settings
settings.ROOT_URLCONF = "tests.platform.urls"
settings.ALLOWED_HOSTS = ["testserver"]
from concurrent.futures import ThreadPoolExecutor
import sentry_sdk
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory
handler = WSGIHandler()

def call(n):
    environ = RequestFactory().get(
        f"/breaks/bug?email=ada@example.com&n={n}",
        headers={"X-Request-ID": f"request-{n:04}", "Authorization": "Bearer ops_secretsecret",
                 "Cookie": "sessionid=stolen"},
        REMOTE_ADDR="203.0.113.77",
    ).environ
    handler(environ, lambda status, headers: None).close()

with ThreadPoolExecutor(4) as pool:
    list(pool.map(call, range(8)))
sentry_sdk.flush(5)
"""


def unpacked(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    return brotli.decompress(body) if b"Content-Encoding: br" in head else body


def test_sentry_is_disabled_without_a_dsn() -> None:
    assert sentry.install() is False


@pytest.mark.slow
def test_errors_are_sent_scrubbed_with_tags_and_their_own_request(tmp_path: Path) -> None:
    with serving(answer(200, b"{}")) as server:
        environment = {
            **os.environ,
            "SENTRY_DSN": f"http://abc@127.0.0.1:{server.port}/1",
            "SENTRY_TRACES_SAMPLE_RATE": "1",
            "REGION": "eu-west",
            "INSTANCE": "web-1",
            "SELF_MONITORING": "0",
            "LOG_LEVEL": "CRITICAL",
            "DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "opsportal.settings",
        }
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        bodies = [unpacked(request) for request in server.requests]

    text = b"\n".join(bodies)
    for secret in (b"ada@example.com", b"ops_secretsecret", b"stolen", b"203.0.113.77"):
        assert secret not in text
    items = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
    events = [item for item in items if "exception" in item]
    assert len(events) == 8
    for event in events:
        assert event["tags"]["region"] == "eu-west"
        assert event["tags"]["instance"] == "web-1"
        number = int(event["tags"]["request_id"].removeprefix("request-"))
        assert f"n={number}" in event["request"]["query_string"]
    assert [item for item in items if item.get("type") == "transaction"]


@pytest.mark.slow
def test_the_portal_does_not_report_to_itself(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "BASE_URL": "https://ops.example.com",
        "SENTRY_DSN": "https://abc@ops.example.com/1",
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "opsportal.settings",
    }
    program = (
        "import django, sentry_sdk; django.setup(); print(sentry_sdk.get_client().is_active())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == "False"
