"""What was acknowledged is stored, whatever is killed, full or away; and taking errors goes on by itself afterwards."""

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
    is_a_promise_to_recover,
    is_exact,
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
    """Eight senders that go on whatever they are answered, until they are told to stop."""

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
                except httpx.HTTPError:  # the web process is gone
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


def test_whatever_was_acknowledged_survives_a_kill_of_the_web_process(portal: Portal) -> None:
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

    is_exact(portal, load.acknowledged)
    assert post(portal)[1].status_code == 200


def test_when_the_stores_process_is_killed_nothing_is_lost_and_nobody_turned_away(
    portal: Portal,
) -> None:
    load = Load(portal)
    try:
        load.wait_for_more()
        os.kill(stores_process(portal), signal.SIGKILL)
        load.wait_for_more()
    finally:
        load.stop()

    is_exact(portal, load.acknowledged)
    assert not load.refusals


def stores_process(portal: Portal) -> int:
    """The pid of the process that commits for the web process."""
    assert portal.web
    [found] = [pid for pid in children(portal.web.pid) if name(pid) == "opsportal store"]
    return found


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """Not the run's own: it may be killed. It writes to the disk as in production."""
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
        own_postgres.start()  # stopping drops a database
    portal.stop()


@needs_postgresql
def test_whatever_was_acknowledged_survives_a_kill_of_postgresql(
    on_postgresql: Portal, own_postgres: PostgresServer
) -> None:
    """SIGKILL to all its processes at once, under load; the portal is not touched."""
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
        is_a_promise_to_recover(answer)
    is_exact(on_postgresql, load.acknowledged)


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


# --- no room left ------------------------------------------------------------------------------------------------

MIB = 1024 * 1024


def limit_files(parent: int, size: str, user: str = "") -> None:
    """No file of these processes grows beyond so many bytes: as on a full disk, which only root could make."""
    group = pwd.getpwnam(user).pw_gid if user else None
    waiting = [parent]
    while waiting:  # the parent first: what it starts meanwhile inherits
        pid = waiting.pop()
        command = ["prlimit", "--pid", str(pid), f"--fsize={size}:"]
        subprocess.run(command, user=user or None, group=group, check=True, capture_output=True)
        waiting += children_of(pid)


def fill(portal: Portal) -> set[str]:
    """Post noise until it is refused; what was acknowledged."""
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
        is_a_promise_to_recover(answer)
    return acknowledged


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@needs_sqlite
def test_on_a_full_disk_it_is_503_and_nothing_acknowledged_is_lost(
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
        is_exact(portal, acknowledged)

        subprocess.run(["mount", "-o", "remount,size=24m", str(disk)], check=True)
        event_id, answer = post(portal)

        assert answer.status_code == 200
        is_exact(portal, acknowledged | {event_id})
    finally:
        portal.stop()
        subprocess.run(["umount", "-l", str(disk)], check=False)


@needs_sqlite
def test_when_the_database_cannot_grow_it_is_503_until_it_can(portal: Portal) -> None:
    assert portal.web
    limit_files(portal.web.pid, str(6 * MIB))
    acknowledged = fill(portal)
    is_exact(portal, acknowledged)

    limit_files(portal.web.pid, "unlimited")
    event_id, answer = post(portal)

    assert answer.status_code == 200
    is_exact(portal, acknowledged | {event_id})


@needs_postgresql
def test_when_postgresql_cannot_grow_it_is_503_until_it_can(
    on_postgresql: Portal, own_postgres: PostgresServer
) -> None:
    # Its journal's files have 16 MiB.
    limit_files(own_postgres.process.pid, str(17 * MIB), own_postgres.user)
    acknowledged = fill(on_postgresql)
    is_exact(on_postgresql, acknowledged)

    limit_files(own_postgres.process.pid, "unlimited", own_postgres.user)
    event_id, answer = post(on_postgresql)

    assert answer.status_code == 200
    is_exact(on_postgresql, acknowledged | {event_id})


@pytest.fixture
def small_disk(own_postgres: PostgresServer) -> Iterator[Path]:
    """PostgreSQL's data on a disk of its own with room for some hundred events; where a file `ballast` may be removed."""
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
def test_on_a_full_disk_of_postgresql_it_is_503_and_nothing_acknowledged_is_lost(
    on_postgresql: Portal, own_postgres: PostgresServer, small_disk: Path
) -> None:
    """Without room for its journal PostgreSQL stops itself; starting it again is for whatever runs it."""
    acknowledged = fill(on_postgresql)

    (small_disk / "ballast").unlink()
    if own_postgres.process.poll() is not None:
        own_postgres.start()
    on_postgresql.wait_for(lambda: post(on_postgresql)[1].status_code == 200, what="recovery")
    event_id, answer = post(on_postgresql)

    assert answer.status_code == 200
    is_exact(on_postgresql, acknowledged | {event_id})
