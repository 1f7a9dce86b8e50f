"""Test that requests with events wait or get a 503 while another process locks the database.

The portal must answer all other requests meanwhile.

test_loss.py tests an unavailable PostgreSQL.
"""

import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.errors.sending import assert_is_retryable_503, needs_sqlite, post, url_of
from tests.errors.support import envelope, raised
from tests.servers.portal import Portal

pytestmark = needs_sqlite


@contextmanager
def held(portal: Portal) -> Iterator[None]:
    """Hold the database's write lock in another process."""
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys, time\n"
            f"c = sqlite3.connect({str(portal.data_dir / 'opsportal.sqlite3')!r}, isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def test_a_locked_database_causes_503_until_it_is_unlocked(portal: Portal) -> None:
    assert post(portal)[1].status_code == 200
    with held(portal):
        _, refused = post(portal, timeout=40)

    assert_is_retryable_503(refused)
    assert post(portal)[1].status_code == 200


def test_requests_that_wait_for_the_store_occupy_no_thread(portal: Portal) -> None:
    """Request pages, each of which needs one of the 16 threads, while 40 error reports wait."""
    assert post(portal)[1].status_code == 200
    with ExitStack() as open_ones:
        with held(portal):
            senders = [open_ones.enter_context(sender(portal)) for _ in range(40)]
            pages = [portal.client.get("/admin/login/", timeout=10) for _ in range(3)]
            answered, _, _ = select.select(senders, [], [], 0)
        answers = [sender.recv(65536).partition(b"\r\n")[0] for sender in senders]

    assert [page.status_code for page in pages] == [200] * 3
    assert not answered
    assert set(answers) == {b"HTTP/1.1 200 OK"}


def sender(portal: Portal) -> socket.socket:
    """Return a connection on which an event has been sent and no response has been read."""
    body = envelope(raised(event_id=uuid.uuid4().hex))
    head = (
        f"POST {url_of(portal)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", portal.port), timeout=40)
    connection.sendall(head.encode() + body)
    return connection
