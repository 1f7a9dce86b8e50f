"""Test that continuous tasks run independently of the workers, and are restarted when they end or hang."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from core.jobs import services, urgent
from core.jobs.models import Job, JobRun, Outcome
from core.jobs.running import claim
from core.lib import continuous, schedules
from core.lib.continuous import ContinuousProcess, ContinuousTask, Control
from core.lib.registry import Registry
from core.lib.schedules import Scheduled
from tests.jobs.conftest import AddJob
from tests.jobs.test_jobs import HELLO, MINUTE, NOON, ran
from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import Portal
from tests.servers.process import wait_until


def write_pid_and_wait(path: Path) -> Callable[[Control], None]:
    def run(control: Control) -> None:
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not control.is_stopping:
            time.sleep(0.01)

    return run


@pytest.fixture
def process(tmp_path: Path) -> ContinuousProcess:
    return ContinuousProcess([ContinuousTask("tests.wait", write_pid_and_wait(tmp_path / "pids"))])


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep_running_until(process: ContinuousProcess, condition: Callable[[], bool]) -> None:
    def check() -> bool:
        process.keep_running()
        return condition()

    wait_until(check, what="the continuous task")


def test_a_killed_continuous_task_is_started_again(
    process: ContinuousProcess, tmp_path: Path
) -> None:
    process.start()
    keep_running_until(process, lambda: len(pids(tmp_path)) == 1)

    os.kill(pids(tmp_path)[0], signal.SIGKILL)

    keep_running_until(process, lambda: len(pids(tmp_path)) == 2)
    process.stop()
    wait_until(lambda: not process.is_alive, what="the end of the process")


def test_a_continuous_task_that_reports_no_progress_is_killed_and_started_again(
    process: ContinuousProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.start()
    keep_running_until(process, lambda: len(pids(tmp_path)) == 1)

    monkeypatch.setattr(continuous, "PROGRESS_TIMEOUT_SECONDS", 0.0)
    process.keep_running()
    wait_until(lambda: not process.is_alive, what="the end of the process")
    monkeypatch.undo()

    keep_running_until(process, lambda: len(pids(tmp_path)) == 2)
    process.stop()
    wait_until(lambda: not process.is_alive, what="the end of the process")


def test_all_tasks_are_started_again_when_one_ends(tmp_path: Path) -> None:
    wait = ContinuousTask("tests.wait", write_pid_and_wait(tmp_path / "pids"))
    process = ContinuousProcess([wait, ContinuousTask("tests.end", lambda control: None)])
    process.start()

    keep_running_until(process, lambda: len(pids(tmp_path)) == 2)

    process.stop()
    wait_until(lambda: not process.is_alive, what="the end of the process")


def test_a_restarted_delivery_process_sends_the_messages_that_were_in_flight(
    make_portal: Callable[..., Portal], fake: FakeHTTP
) -> None:
    portal = make_portal(SLACK_WEBHOOK_URL=f"{fake.url}/hook")
    portal.start()
    portal.start_worker()
    fake.answer(200, delay=60)
    error = {"message": "payment lost", "severity": "critical"}
    for _ in range(6):
        portal.client.post("/api/v1/errors/", headers=portal.api, json=error).raise_for_status()
    fake.wait_for(1, seconds=30)

    [pid] = portal.find_workers("loops")
    os.kill(pid, signal.SIGKILL)

    first, second = fake.wait_for(2, seconds=30)
    assert first.json()["text"] == second.json()["text"]
    portal.wait_for(
        lambda: (
            portal.rows("SELECT state, attempt_count FROM alerts_notification") == [("sent", 2)]
        ),
        what="the delivery",
    )


# --- urgent jobs ---------------------------------------------------------------------------------------------


@pytest.fixture
def urgent_job(db: None, monkeypatch: pytest.MonkeyPatch) -> Job:
    registry: Registry[Scheduled] = Registry("tasks")
    monkeypatch.setattr(schedules, "registry", registry)
    registry.add(
        HELLO, Scheduled(HELLO, "* * * * *", "Urgent", timedelta(seconds=50), is_urgent=True)
    )
    services.sync_jobs(NOON)
    ran.clear()
    return Job.objects.get()


def test_evaluation_and_follow_ups_never_wait_for_the_workers(db: None) -> None:
    services.sync_jobs(NOON)
    Job.objects.update(next_run_at=NOON)

    queued = set(services.queue_due_jobs(NOON))

    due = set(Job.objects.due(NOON).values_list("name", flat=True))
    assert "health.tasks.run_checks" in queued
    assert {
        "alerts.tasks.evaluate_all",
        "alerts.tasks.follow_up",
        "alerts.tasks.check_errors",
        "alerts.tasks.check_performance",
        "alerts.tasks.check_deliveries",
    } <= due - queued


def test_the_continuous_task_runs_an_urgent_job_without_queuing_it(urgent_job: Job) -> None:
    assert services.queue_due_jobs(NOON) == []

    assert urgent.run_due(Control(), now=NOON) == [HELLO]

    assert ran == ["hello"]
    assert urgent.run_due(Control(), now=NOON) == []


def test_workers_run_an_urgent_job_if_the_continuous_task_does_not(urgent_job: Job) -> None:
    late = urgent_job.next_run_at + services.URGENT_FALLBACK

    assert services.queue_due_jobs(late) == [HELLO]


def test_an_urgent_job_whose_process_was_killed_starts_again_at_once(
    urgent_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_ID", "aaaa")
    claim(HELLO, NOON)
    assert urgent.run_due(Control(), now=NOON) == []

    urgent.release_own(now=NOON)

    assert urgent.run_due(Control(), now=NOON) == [HELLO]
    outcomes = JobRun.objects.order_by("pk").values_list("outcome", flat=True)
    assert list(outcomes) == [Outcome.LOST, Outcome.SUCCEEDED]


def test_the_workers_run_all_other_jobs(db: None, add_job: AddJob) -> None:
    add_job(HELLO)
    services.sync_jobs(NOON - MINUTE)

    assert urgent.run_due(Control(), now=NOON) == []
    assert services.queue_due_jobs(NOON) == [HELLO]
