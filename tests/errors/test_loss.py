"""Test that acknowledged events survive killed processes and full disks, and that ingestion then recovers."""

import os
import pwd
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.errors.sending import (
    assert_is_retryable_503,
    assert_stored_exactly,
    needs_postgresql,
    needs_sqlite,
    post,
    url_of,
)
from tests.errors.support import envelope, raised
from tests.server.serving import children, name
from tests.servers.portal import Portal, Template, make_template
from tests.servers.postgres import PostgresServer
from tests.servers.process import wait_until

pytestmark = pytest.mark.servers


class Load:
    """Eight threads that each send one event after another, until `stop()` is called."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.acknowledged: set[str] = set()
        self.refusals: list[httpx.Response] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._senders = [threading.Thread(target=self._send) for _ in range(8)]
        for sender in self._senders:
            sender.start()

    def _send(self) -> None:
        with httpx.Client(base_url=self.portal.base_url, timeout=40) as client:
            while not self._over.is_set():
                event_id = uuid.uuid4().hex
                body = envelope(raised(event_id=event_id, function=f"f{hash(event_id) % 5}"))
                try:
                    answer = client.post(url_of(self.portal), content=body)
                except httpx.HTTPError:  # The test has killed the web process.
                    self._over.wait(0.05)
                    continue
                with self._lock:
                    if answer.status_code == 200:
                        self.acknowledged.add(event_id)
                    else:
                        self.refusals.append(answer)
                if answer.status_code != 200:
                    self._over.wait(0.05)

    def wait_for_more(self, count: int = 150) -> None:
        wanted = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= wanted, what="further events")

    def stop(self) -> None:
        self._over.set()
        for sender in self._senders:
            sender.join()


# --- the web process ---------------------------------------------------------------------------------------------


def test_acknowledged_events_survive_a_kill_of_the_web_process(portal: Portal) -> None:
    load = Load(portal)
    try:
        load.wait_for_more()
        portal.kill()
        portal.restart()
        load.wait_for_more()
        portal.kill()
    finally:
        load.stop()
    portal.restart()

    assert_stored_exactly(portal, load.acknowledged)
    assert post(portal)[1].status_code == 200


def test_a_kill_of_the_store_process_loses_no_event_and_refuses_no_request(
    portal: Portal,
) -> None:
    load = Load(portal)
    try:
        load.wait_for_more()
        os.kill(stores_process(portal), signal.SIGKILL)
        load.wait_for_more()
    finally:
        load.stop()

    assert_stored_exactly(portal, load.acknowledged)
    assert not load.refusals


def stores_process(portal: Portal) -> int:
    """Return the pid of the store process."""
    assert portal.web
    [found] = [pid for pid in children(portal.web.pid) if name(pid) == "opsportal store"]
    return found


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """Start a separate PostgreSQL server that tests may kill and that syncs to disk as in production."""
    server = PostgresServer(options={"fsync": "on", "full_page_writes": "on"})
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_template(
    own_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Template:
    return make_template(tmp_path_factory.mktemp("template"), own_postgres.url())


@pytest.fixture
def on_postgresql(
    own_postgres: PostgresServer, own_template: Template, tmp_path: Path
) -> Iterator[Portal]:
    portal = Portal(own_template, tmp_path)
    portal.start()
    yield portal
    if own_postgres.process.poll() is not None:
        own_postgres.start()  # Stopping the portal drops its database, which needs a server.
    portal.stop()


@needs_postgresql
def test_acknowledged_events_survive_a_kill_of_postgresql(
    on_postgresql: Portal, own_postgres: PostgresServer
) -> None:
    """Kill all processes of PostgreSQL while the portal is running under load."""
    load = Load(on_postgresql)
    try:
        load.wait_for_more()
        backends = children_of(own_postgres.process.pid)
        for pid in (own_postgres.process.pid, *backends):
            os.kill(pid, signal.SIGKILL)
        own_postgres.process.wait()
        wait_until(lambda: len(load.refusals) > 8, what="refusals")
        own_postgres.start()
        load.wait_for_more()
    finally:
        load.stop()

    for answer in load.refusals:
        assert_is_retryable_503(answer)
    assert_stored_exactly(on_postgresql, load.acknowledged)


def children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[1]) == parent:
                found.append(int(entry.name))
    return found


# --- full disks ------------------------------------------------------------------------------------------------

MIB = 1024 * 1024


def limit_files(parent: int, size: str, user: str = "") -> None:
    """Limit the file size of a process and its descendants, to simulate a full disk without root."""
    group = pwd.getpwnam(user).pw_gid if user else None
    waiting = [parent]
    while waiting:  # Limit the parent first, because new children inherit its limit.
        pid = waiting.pop()
        command = ["prlimit", "--pid", str(pid), f"--fsize={size}:"]
        subprocess.run(command, user=user or None, group=group, check=True, capture_output=True)
        waiting += children_of(pid)


def fill(portal: Portal) -> set[str]:
    """Send events until one is refused. Return the acknowledged ids."""
    acknowledged, refused = set(), []
    for _ in range(2_000):
        event_id, answer = post(portal, timeout=40, extra={"noise": os.urandom(60_000).hex()})
        if answer.status_code == 200:
            acknowledged.add(event_id)
        else:
            refused.append(answer)
            if len(refused) > 3:
                break
    assert refused
    for answer in refused:
        assert_is_retryable_503(answer)
    return acknowledged


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@needs_sqlite
def test_a_full_disk_causes_503_and_loses_no_acknowledged_event(
    portal_template: Any, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], capture_output=True
    )
    assert mounted.returncode == 0, mounted.stderr
    portal = Portal(portal_template, disk)
    try:
        portal.start()
        acknowledged = fill(portal)
        assert_stored_exactly(portal, acknowledged)

        subprocess.run(["mount", "-o", "remount,size=24m", str(disk)], check=True)
        event_id, answer = post(portal)

        assert answer.status_code == 200
        assert_stored_exactly(portal, acknowledged | {event_id})
    finally:
        portal.stop()
        subprocess.run(["umount", "-l", str(disk)], check=False)


@needs_sqlite
def test_a_database_that_cannot_grow_causes_503_until_it_can_grow_again(portal: Portal) -> None:
    assert portal.web
    limit_files(portal.web.pid, str(6 * MIB))
    acknowledged = fill(portal)
    assert_stored_exactly(portal, acknowledged)

    limit_files(portal.web.pid, "unlimited")
    event_id, answer = post(portal)

    assert answer.status_code == 200
    assert_stored_exactly(portal, acknowledged | {event_id})


@needs_postgresql
def test_a_postgresql_server_that_cannot_grow_causes_503_until_it_can_grow_again(
    on_postgresql: Portal, own_postgres: PostgresServer
) -> None:
    # The limit must exceed the 16 MiB of a WAL segment.
    limit_files(own_postgres.process.pid, str(17 * MIB), own_postgres.user)
    acknowledged = fill(on_postgresql)
    assert_stored_exactly(on_postgresql, acknowledged)

    limit_files(own_postgres.process.pid, "unlimited", own_postgres.user)
    event_id, answer = post(on_postgresql)

    assert answer.status_code == 200
    assert_stored_exactly(on_postgresql, acknowledged | {event_id})


@pytest.fixture
def small_disk(own_postgres: PostgresServer) -> Iterator[Path]:
    """Move PostgreSQL's data to a nearly full disk, and yield its folder. Deleting `ballast` there frees space."""
    usual = own_postgres.data
    disk = own_postgres.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(disk)], check=True)
    try:
        own_postgres.kill()
        subprocess.run(["cp", "-a", str(usual), str(disk / "data")], check=True)
        own_postgres.data = disk / "data"
        own_postgres.start()
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with (disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, free - 24 * MIB)
        yield disk
    finally:
        own_postgres.kill()
        own_postgres.data = usual
        own_postgres.start()
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@needs_postgresql
def test_a_full_disk_of_postgresql_causes_503_and_loses_no_acknowledged_event(
    on_postgresql: Portal, own_postgres: PostgresServer, small_disk: Path
) -> None:
    """Fill the disk until PostgreSQL stops for lack of WAL space, then start it again as a supervisor does."""
    acknowledged = fill(on_postgresql)

    (small_disk / "ballast").unlink()
    if own_postgres.process.poll() is not None:
        own_postgres.start()
    on_postgresql.wait_for(lambda: post(on_postgresql)[1].status_code == 200, what="recovery")
    event_id, answer = post(on_postgresql)

    assert answer.status_code == 200
    assert_stored_exactly(on_postgresql, acknowledged | {event_id})
