"""Test ingestion on a real server with chunked bodies and official SDKs. test_loss.py tests crashes."""

import gzip
import json
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.errors.sending import stored
from tests.errors.support import envelope, raised
from tests.servers.portal import Portal
from tests.servers.process import wait_until


def post(portal: Portal, body: bytes, **headers: str) -> httpx.Response:
    url = f"/api/{portal.seeded.app_id}/envelope/?sentry_key={portal.public_key}"
    return portal.client.post(url, content=body, headers=headers)


# --- the wire ----------------------------------------------------------------------------------------------


def test_a_chunked_body_without_length_or_type_is_stored(portal: Portal) -> None:
    """Send a chunked body as the Node SDK does, which Django's test client cannot do."""
    event_id = uuid.uuid4().hex
    body = gzip.compress(envelope(raised(event_id=event_id)))
    head = (
        f"POST /api/{portal.seeded.app_id}/envelope/?sentry_key={portal.public_key} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", portal.port), timeout=10) as connection:
        connection.sendall(head)
        for start in range(0, len(body), 50):
            piece = body[start : start + 50]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200")
    assert event_id in stored(portal)


def test_the_server_and_the_view_give_the_same_responses(portal: Portal) -> None:
    url = f"//api/{portal.seeded.app_id}//envelope"

    with_doubled_slashes = portal.client.post(
        f"{portal.base_url}{url}?sentry_key={portal.public_key}", content=envelope(raised())
    )
    empty = post(portal, b"")
    preflight = portal.client.options(f"/api/{portal.seeded.app_id}/envelope/")

    assert with_doubled_slashes.status_code == 200
    assert (empty.status_code, preflight.status_code) == (400, 200)
    for answer in (with_doubled_slashes, empty, preflight):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Request-ID"]
        assert "Set-Cookie" not in answer.headers


def test_concurrent_events_are_stored_grouped_and_counted_exactly(portal: Portal) -> None:
    """Send each event twice from 40 threads, so that a commit creates groups, skips duplicates and updates counts."""
    events = [raised(event_id=uuid.uuid4().hex, function=f"f{n % 3}") for n in range(60)] * 2

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda event: post(portal, envelope(event)).status_code, events))

    assert set(answers) == {200}
    assert len(stored(portal)) == 60
    assert portal.rows("SELECT event_count FROM errors_errorgroup") == [(20,), (20,), (20,)]
    assert portal.value("SELECT sum(count) FROM errors_minutecount") == 60
    assert portal.value("SELECT sum(count) FROM errors_grouphour") == 60


def test_planted_secrets_do_not_appear_in_the_data_folder(portal: Portal) -> None:
    secrets = {
        "email": "planted.person@secret-mail.example",
        "address": "203.0.113.199",
        "card": "4242 4242 4242 4242",
        "password": "pl4nted-p4ssw0rd",
        "key": "sk_live_plAnt3dK3yplAnt3dK3y",
    }
    for place, secret in secrets.items():
        event = raised(
            value=f"{place}: {secret}" if place != "password" else f"password={secret}",
            user={"email": secret if place == "email" else "x", "ip_address": secrets["address"]},
            request={
                "url": f"https://shop.example/?token={secret}",
                "headers": {"Cookie": secret, "Authorization": f"Bearer {secrets['key']}"},
                "cookies": {"sid": secret},
                "query_string": f"password={secrets['password']}&mail={secrets['email']}",
                "data": {"password": secret, "note": f"card {secrets['card']}"},
            },
            breadcrumbs=[{"message": f"login {secrets['email']}", "data": {"token": secret}}],
            tags={"mail": secrets["email"]},
            extra={"deep": {"list": [secrets["card"], {"passwd": secret}]}},
        )
        event["exception"]["values"][0]["stacktrace"]["frames"][1]["vars"] = {
            "password": secret,
            "who": secrets["email"],
            "note": f"from {secrets['address']}",
        }
        assert post(portal, envelope(event)).status_code == 200

    files = [path for path in portal.data_dir.rglob("*") if path.is_file()]
    found = [
        (secret, path.name)
        for path in files
        for secret in secrets.values()
        if secret.encode() in path.read_bytes()
    ]
    assert not found
    for (pk,) in portal.rows("SELECT id FROM errors_errorevent"):
        page = portal.client.get(
            f"/admin/errors/{portal.value('SELECT group_id FROM errors_errorevent WHERE id = %s', (pk,))}/events/{pk}/",
            headers=portal.staff,
        )
        assert page.status_code == 200
        assert not [secret for secret in secrets.values() if secret in page.text]


# --- official SDKs ------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import sentry_sdk
from sentry_sdk.crons import capture_checkin
if sys.argv[2] == "without brotli":
    sys.modules["brotli"] = None
sentry_sdk.init(sys.argv[1], traces_sample_rate=1.0, release="shop@1.2.0", environment="staging",
                auto_session_tracking=True, debug=False)
def pay(order_id):
    password = "hunter2-in-locals"
    amount = 100
    return amount / 0
sentry_sdk.set_user({"id": "u-7"})
sentry_sdk.set_tag("order_id", "o-77")
with sentry_sdk.start_transaction(op="http.server", name="/pay"):
    sentry_sdk.add_breadcrumb(category="cart", message="two seats")
    try:
        pay("o-77")
    except ZeroDivisionError as error:
        print(sentry_sdk.capture_exception(error))
sentry_sdk.capture_message("running low", level="warning")
capture_checkin(monitor_slug="nightly", status="ok", duration=1.0)
sentry_sdk.flush(10)
"""


@pytest.mark.parametrize("encoding", ["with brotli", "without brotli"])
def test_the_unmodified_python_sdk_can_report_errors(portal: Portal, encoding: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, portal.dsn, encoding],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    event_id = ran.stdout.split()[0]

    assert event_id in stored(portal)
    row = portal.rows(
        "SELECT release, environment, user_key, order_ref, function FROM errors_errorevent WHERE message LIKE %s",
        ("ZeroDivisionError%",),
    )
    assert row == [("shop@1.2.0", "staging", "u-7", "o-77", "/pay")]
    assert portal.value("SELECT count(*) FROM errors_errorevent WHERE severity = 'warning'") == 1
    assert portal.value("SELECT count(*) FROM health_checkin") == 1
    wait_until(
        lambda: portal.value("SELECT count(*) FROM health_series WHERE name = '/pay'") == 1,
        what="the transaction",
    )


def test_the_python_sdk_obeys_rate_limits(portal: Portal) -> None:
    portal.rows(
        "UPDATE clients_clientapp SET events_per_hour = 1 WHERE id = %s", (portal.seeded.app_id,)
    )
    program = (
        "import sys, sentry_sdk\n"
        "sentry_sdk.init(sys.argv[1], default_integrations=False)\n"
        "for n in range(5):\n"
        "    sentry_sdk.capture_message(f'm{n}'); sentry_sdk.flush(5)\n"
    )
    time.sleep(0.1)

    subprocess.run([sys.executable, "-c", program, portal.dsn], timeout=60, check=True)

    wait_until(
        lambda: bool(portal.rows("SELECT 1 FROM errors_discarded WHERE source = 'quota'")),
        what="the refusal",
    )
    assert len(stored(portal)) == 1
    # After the first refusal, the SDK did not send the other three events.
    assert portal.value("SELECT count FROM errors_discarded WHERE source = 'quota'") == 1


def test_curl_can_report_an_error(portal: Portal) -> None:
    ran = subprocess.run(
        ["curl", "-sS", f"{portal.base_url}/api/v1/errors/", "-H", f"Authorization: Bearer {portal.api_key}",
         "-d", '{"message": "gate 4 is stuck", "severity": "critical", "order_id": "o-9"}'],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    assert json.loads(ran.stdout)["id"] in stored(portal)
