"""Test that `manage.py serve` recovers when its processes are killed or hang."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server.serving import Cluster, Serving, children, memory_mb, parents
from tests.servers.portal import ROOT, Portal


@pytest.fixture(scope="module")
def serving(portal_template: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    portal = Portal(portal_template, tmp_path_factory.mktemp("served"))  # type: ignore[arg-type]
    serving = Serving(portal)
    serving.wait_until_up()
    yield serving
    serving.stop()
    portal.stop()


def run_task(serving: Serving, tmp_path: Path, text: str, seconds: float = 30) -> float:
    """Let a worker run a task, and return the seconds that passed until the task was done."""
    began_at = time.monotonic()
    notes = tmp_path / "notes"
    serving.enqueue("tests.jobs.probe.note", path=str(notes), text=text)
    serving.portal.wait_for(
        lambda: notes.exists() and text in notes.read_text().split("\n"), seconds, text
    )
    return time.monotonic() - began_at


def test_the_supervisor_prints_the_url_of_a_portal_that_answers(serving: Serving) -> None:
    printed = serving.log.read_text()

    assert f"{serving.portal.base_url}/admin/system-health/" in printed
    assert "curl -sS" in printed or "DSN" not in printed
    assert httpx.get(f"{serving.portal.base_url}/admin/login/").status_code == 200


def test_a_queued_task_is_picked_up_within_a_second(serving: Serving, tmp_path: Path) -> None:
    serving.wait_for_cluster()
    run_task(serving, tmp_path, "warm-up")

    assert min(run_task(serving, tmp_path, f"task {n}") for n in range(3)) < 1


@pytest.mark.parametrize("role", ["an idle worker", "the sentinel", "the whole cluster"])
def test_workers_recover_automatically_after_killing(
    serving: Serving, tmp_path: Path, role: str
) -> None:
    cluster = serving.wait_for_cluster()
    victims: dict[str, Callable[[Cluster], list[int]]] = {
        "an idle worker": lambda c: [c.workers[0]],
        "the sentinel": lambda c: [c.sentinel],
        "the whole cluster": lambda c: [c.sentinel, *c.workers],
    }
    killed = victims[role](cluster)
    run_task(serving, tmp_path, "before")
    serving.portal.wait_for(
        lambda: not serving.portal.value("SELECT count(*) FROM django_q_ormq"), 10, "idle workers"
    )

    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    run_task(serving, tmp_path, "after")
    serving.wait_for_cluster(other_than=cluster.sentinel)
    assert not {cluster.sentinel, *cluster.workers} & set(parents()), (
        "an orphaned process is still running"
    )


def test_a_killed_busy_worker_is_replaced_without_restarting_the_cluster(
    serving: Serving, tmp_path: Path
) -> None:
    cluster = serving.wait_for_cluster()
    notes = tmp_path / "busy"
    serving.enqueue("tests.jobs.probe.start_then_wait", path=str(notes), seconds=30)
    serving.portal.wait_for(notes.exists)
    busy = int(notes.read_text().split()[1])

    os.kill(busy, signal.SIGKILL)

    run_task(serving, tmp_path, "after")
    assert serving.wait_for_cluster().sentinel == cluster.sentinel


def test_no_thread_or_connection_exists_before_the_fork(portal: Portal) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=portal.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert loaded.stdout == "1 thread, connected: False, pools: 0\n", loaded.stderr


LOAD = """
import threading
from opsportal import wsgi
from opsportal.management.commands.serve import load
load()
from django.db import connection
pools = getattr(connection, "_connection_pools", {})
print(f"{threading.active_count()} thread, connected: {connection.connection is not None}, pools: {len(pools)}")
"""


def test_the_processes_share_the_memory_of_loaded_code(serving: Serving) -> None:
    serving.wait_for_cluster()

    loaded = memory_mb(serving.process.pid, "Rss")

    assert sum(memory_mb(pid, "Pss") for pid in serving.descendants()) < 2 * loaded


def web_answers(serving: Serving) -> bool:
    try:
        page = httpx.get(f"{serving.portal.base_url}/admin/login/", timeout=5)
    except httpx.TransportError:
        return False
    return page.status_code == 200


def test_a_killed_web_process_is_started_again(serving: Serving) -> None:
    os.kill(serving.child("opsportal web"), signal.SIGKILL)

    serving.portal.wait_for(lambda: not web_answers(serving), 5, "its end")
    serving.portal.wait_for(lambda: web_answers(serving), 15, "its restart")
    assert "web killed by SIGKILL; it restarts" in serving.log.read_text()


def test_a_killed_store_process_is_started_again_and_used(serving: Serving) -> None:
    def is_used() -> bool:
        assert post_error(serving).status_code == 200
        store = serving.child("opsportal store")
        # The first socket listens, and any further one is a connection from the web process.
        return store != 0 and connections_of(store) > 1

    serving.portal.wait_for(is_used, 10, "the connection of the web process to the store process")

    os.kill(serving.child("opsportal store"), signal.SIGKILL)

    serving.portal.wait_for(is_used, 15, "its restart")
    assert "store killed by SIGKILL; it restarts" in serving.log.read_text()


def post_error(serving: Serving) -> httpx.Response:
    return serving.portal.client.post(
        "/api/v1/errors/", headers=serving.portal.api, json={"message": "no seats left"}
    )


def connections_of(pid: int) -> int:
    """Return the number of Unix sockets that a process has open."""
    unix = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    open_files = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(name.removeprefix("socket:[").rstrip("]") in unix for name in open_files)


@pytest.fixture(scope="module")
def impatient(
    portal_template: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Run a portal whose web process tests can block, and whose supervisor has short timeouts."""
    portal = Portal(portal_template, tmp_path_factory.mktemp("hanging"))  # type: ignore[arg-type]
    manage = ["-m", "tests.server.hanging"]
    serving = Serving(portal, "--no-worker", "--threads", "4", manage=manage)
    serving.wait_until_up()
    yield serving
    serving.stop()
    portal.stop()


@pytest.fixture
def hanging(impatient: Serving) -> Serving:
    """Wait until any web process that an earlier test blocked is replaced. Return the portal with an empty log."""
    impatient.portal.wait_for(lambda: web_answers(impatient), 60, "the web process")
    impatient.log.write_text("")
    return impatient


def wait_until_replaced(serving: Serving, hung: int) -> None:
    portal = serving.portal
    portal.wait_for(lambda: serving.child("opsportal web") not in (0, hung), 30, "its end")
    portal.wait_for(lambda: web_answers(serving), 30, "its restart")


def test_a_suspended_web_process_is_replaced(hanging: Serving) -> None:
    hung = hanging.child("opsportal web")
    hanging.portal.wait_for(lambda: children(hung), 60, "the process that serves")

    for pid in children(hung):
        os.kill(pid, signal.SIGSTOP)

    wait_until_replaced(hanging, hung)
    assert "web hangs: its event loop has not run" in hanging.log.read_text()


def test_a_web_process_whose_event_loop_is_blocked_is_replaced(hanging: Serving) -> None:
    hung = hanging.child("opsportal web")

    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{hanging.portal.base_url}/hang/loop", timeout=3)

    wait_until_replaced(hanging, hung)
    assert "web hangs: its event loop has not run" in hanging.log.read_text()


def test_a_web_process_whose_threads_are_all_blocked_is_replaced(hanging: Serving) -> None:
    hung = hanging.child("opsportal web")

    for _ in range(4):
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{hanging.portal.base_url}/hang/thread", timeout=1)

    wait_until_replaced(hanging, hung)
    assert "web hangs: requests are waiting" in hanging.log.read_text()


def test_a_slow_request_does_not_count_as_a_hang_while_other_threads_are_idle(
    hanging: Serving,
) -> None:
    web = hanging.child("opsportal web")

    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{hanging.portal.base_url}/hang/thread", timeout=6)

    assert hanging.child("opsportal web") == web
    assert web_answers(hanging)


def test_threads_of_a_hung_web_process_finish_their_requests(hanging: Serving) -> None:
    """Test that a thread can complete its write before the process with the blocked event loop ends."""
    portal = hanging.portal
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(httpx.get, f"{portal.base_url}/slow/write", timeout=30)
        portal.wait_for((portal.data_dir / "slow.begun").exists, 60, "the slow write")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{portal.base_url}/hang/loop", timeout=3)
        portal.wait_for((portal.data_dir / "slow.done").exists, 60, "its end")
        assert isinstance(slow.exception(), httpx.HTTPError)


def test_ctrl_c_ends_all_processes_within_ten_seconds(make_portal: Callable[..., Portal]) -> None:
    serving = Serving(make_portal())
    serving.wait_until_up()
    serving.wait_for_cluster()
    serving.portal.wait_for(lambda: len(serving.descendants()) == 8, what="the start of all")
    everything = serving.descendants()

    began_at = time.monotonic()
    serving.process.send_signal(signal.SIGINT)

    assert serving.process.wait(timeout=10) == 0
    assert time.monotonic() - began_at < 10
    assert not everything & set(parents())


def test_a_killed_supervisor_leaves_no_orphans(make_portal: Callable[..., Portal]) -> None:
    serving = Serving(make_portal())
    serving.wait_until_up()
    serving.wait_for_cluster()
    everything = serving.descendants()

    serving.process.kill()
    serving.process.wait()

    serving.portal.wait_for(lambda: not everything & set(parents()), 12, "the end of all")


def test_a_port_in_use_causes_one_clear_error_line(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal()
    with socket.create_server(("127.0.0.1", portal.port)):
        refused = portal.manage("serve", "--port", str(portal.port))

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{portal.port}" in refused.stderr


def test_a_broken_database_causes_one_clear_error_line(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal()
    broken = portal.data_dir / "broken.sqlite3"
    broken.write_bytes(b"this is no database" * 100)

    portal.environment["DATABASE_URL"] = f"sqlite:///{broken}"
    refused = portal.manage("serve", "--port", "0")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"cannot use the database {broken}: file is not a database" in refused.stderr


def test_an_unavailable_database_server_causes_one_clear_error_line(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    portal.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nothing"

    refused = portal.manage("serve", "--port", "0")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "cannot use the database 127.0.0.1:9/nothing" in refused.stderr
