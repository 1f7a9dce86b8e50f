"""Somebody else keeps the store busy: senders wait or are told to come back, and nobody else notices.

PostgreSQL's absence is part of its kill, in test_loss.
"""

import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.errors.sending import is_a_promise_to_recover, needs_sqlite, post, url_of
from tests.errors.support import envelope, raised
from tests.servers.portal import Portal

pytestmark = needs_sqlite


@contextmanager
def held(portal: Portal) -> Iterator[None]:
    """Another process writes to the database and does not come to an end."""
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


def test_while_somebody_holds_the_database_it_is_503_and_then_goes_on(portal: Portal) -> None:
    assert post(portal)[1].status_code == 200
    with held(portal):
        _, refused = post(portal, timeout=40)

    is_a_promise_to_recover(refused)
    assert post(portal)[1].status_code == 200


def test_errors_that_wait_for_the_store_keep_no_thread_from_others(portal: Portal) -> None:
    assert post(portal)[1].status_code == 200
    with ExitStack() as open_ones:
        with held(portal):
            senders = [open_ones.enter_context(sender(portal)) for _ in range(40)]  # 16 threads
            answer = portal.client.get("/livez", timeout=4)
            answered, _, _ = select.select(senders, [], [], 0)
        answers = [sender.recv(65536).partition(b"\r\n")[0] for sender in senders]

    assert answer.status_code == 200
    assert not answered
    assert set(answers) == {b"HTTP/1.1 200 OK"}


def sender(portal: Portal) -> socket.socket:
    """Has sent an event and not looked for the answer."""
    body = envelope(raised(event_id=uuid.uuid4().hex))
    head = (
        f"POST {url_of(portal)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", portal.port), timeout=40)
    connection.sendall(head.encode() + body)
    return connection
