"""Test that scheduled jobs run once per due time, even if workers are killed, and have a history."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connections
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ, Schedule

from core.jobs import queries, services
from core.jobs.models import Job, JobRun, Node, Outcome
from core.jobs.running import claim, run_job
from core.lib import queue, schedules
from tests.jobs.conftest import AddJob

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

ran: list[str] = []


def hello() -> dict[str, int]:
    ran.append("hello")
    return {"greeted": 3}


def fail() -> None:
    raise ValueError("the card 4111 1111 1111 1111 of anna@example.com")


def never_ends() -> None:
    raise TimeoutException("Task exceeded maximum timeout value (50 seconds)")


HELLO, FAIL, NEVER_ENDS = (f"{__name__}.{task}" for task in ("hello", "fail", "never_ends"))


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def job(db: None, add_job: AddJob) -> Job:
    add_job(HELLO)
    services.sync_jobs(NOON)
    return Job.objects.get()


# --- synchronizing rows with the code --------------------------------------------------------------------


@pytest.mark.django_db
def test_sync_creates_one_row_per_scheduled_task_and_the_tick(add_job: AddJob) -> None:
    add_job(HELLO, "15 * * * *")

    services.sync_jobs(NOON)
    services.sync_jobs(NOON)

    job = Job.objects.get()
    assert (job.name, job.cron, job.summary) == (HELLO, "15 * * * *", "A test's job")
    assert job.next_run_at == NOON + timedelta(minutes=15)
    assert Schedule.objects.get().func == "core.jobs.tasks.tick"


def test_a_new_job_that_runs_every_minute_is_due_immediately(job: Job) -> None:
    assert job.next_run_at == NOON


def test_the_row_of_a_removed_task_is_deleted(job: Job, add_job: AddJob) -> None:
    schedules.registry._items.clear()
    add_job(FAIL)

    services.sync_jobs(NOON)

    assert [row.name for row in Job.objects.all()] == [FAIL]


def test_sync_keeps_disabled_jobs_and_due_times(job: Job) -> None:
    Job.objects.update(is_enabled=False, next_run_at=NOON - timedelta(days=1))

    services.sync_jobs(NOON)

    job.refresh_from_db()
    assert not job.is_enabled
    assert job.next_run_at == NOON - timedelta(days=1)


def test_the_tick_restores_jobs_deleted_by_an_older_node(job: Job) -> None:
    job.delete()

    services.tick(NOON)

    assert Job.objects.filter(name=HELLO).exists()


@pytest.mark.django_db
def test_the_schedule_of_the_portal_can_be_synced() -> None:
    services.sync_jobs(NOON)

    assert Job.objects.filter(name="core.jobs.tasks.prune_history").exists()


# --- the tick ----------------------------------------------------------------------------------------------


def test_the_tick_queues_a_due_job_again_only_after_a_while(
    job: Job, django_capture_on_commit_callbacks: object
) -> None:
    assert services.tick(NOON - timedelta(seconds=1)) == []
    assert services.tick(NOON) == [HELLO]
    assert services.tick(NOON + timedelta(seconds=20)) == []
    assert services.tick(NOON + timedelta(seconds=25)) == [HELLO]


def test_a_disabled_job_is_not_queued(job: Job) -> None:
    Job.objects.update(is_enabled=False)

    assert services.tick(NOON) == []
    assert run_job(HELLO, NOON) is None


def test_setting_the_clock_back_does_not_stop_a_job(job: Job) -> None:
    Job.objects.update(next_run_at=NOON + timedelta(days=400))

    services.tick(NOON)

    job.refresh_from_db()
    assert job.next_run_at == NOON + MINUTE


def test_a_node_whose_clock_is_behind_does_not_repeat_a_run(job: Job) -> None:
    run_job(HELLO, NOON)

    services.tick(NOON - timedelta(seconds=20))

    job.refresh_from_db()
    assert job.next_run_at == NOON + MINUTE


# --- runs ------------------------------------------------------------------------------------------------


def test_a_run_records_its_outcome_and_the_next_due_time(job: Job) -> None:
    assert run_job(HELLO, NOON) == Outcome.SUCCEEDED

    job.refresh_from_db()
    run = JobRun.objects.get()
    assert ran == ["hello"]
    assert (job.next_run_at, job.owner, job.lease_until) == (NOON + MINUTE, "", None)
    assert (run.outcome, run.result) == (Outcome.SUCCEEDED, "3 greeted")
    assert run.finished_at is not None


def test_a_job_that_is_queued_twice_runs_once(job: Job) -> None:
    run_job(HELLO, NOON)

    assert run_job(HELLO, NOON) is None
    assert ran == ["hello"]


def test_a_job_runs_once_after_hours_of_downtime(job: Job) -> None:
    later = NOON + timedelta(hours=5)

    assert run_job(HELLO, later) == Outcome.SUCCEEDED

    assert services.tick(later) == []
    job.refresh_from_db()
    assert job.next_run_at == later + MINUTE


@pytest.mark.django_db
def test_a_failure_is_recorded_without_the_text_of_the_error(add_job: AddJob) -> None:
    add_job(FAIL)
    services.sync_jobs(NOON - MINUTE)

    assert run_job(FAIL, NOON) == Outcome.FAILED

    run = JobRun.objects.get()
    assert run.result.startswith("ValueError in fail, line ")
    assert Job.objects.get().owner == ""


@pytest.mark.django_db
def test_a_run_over_its_time_limit_is_recorded_and_raised_to_the_worker(add_job: AddJob) -> None:
    add_job(NEVER_ENDS)
    services.sync_jobs(NOON - MINUTE)

    with pytest.raises(TimeoutException):
        run_job(NEVER_ENDS, NOON)

    run = JobRun.objects.get()
    assert (run.outcome, run.result) == (Outcome.FAILED, "exceeded its time limit")
    assert Job.objects.due(NOON + MINUTE).exists()


def test_a_job_that_is_unknown_to_this_nodes_code_is_left_to_other_nodes(job: Job) -> None:
    schedules.registry._items.clear()

    assert services.queue_due_jobs(NOON) == []
    assert run_job(HELLO, NOON) is None
    assert Job.objects.due(NOON).exists()


# --- lost runs ---------------------------------------------------------------------------------------------


def test_a_claimed_job_is_not_run_by_another_worker(job: Job) -> None:
    assert claim(HELLO, NOON)

    assert claim(HELLO, NOON + MINUTE - timedelta(seconds=1)) is None


def test_a_job_whose_worker_died_is_marked_lost_and_started_again(job: Job) -> None:
    claim(HELLO, NOON)
    after_lease = NOON + timedelta(seconds=61)

    assert services.queue_due_jobs(after_lease) == [HELLO]
    assert run_job(HELLO, after_lease) == Outcome.SUCCEEDED

    outcomes = JobRun.objects.order_by("started_at").values_list("outcome", flat=True)
    assert list(outcomes) == [Outcome.LOST, Outcome.SUCCEEDED]


def test_a_late_worker_does_not_end_the_run_of_another_worker(job: Job) -> None:
    from core.jobs.running import _finish

    late = claim(HELLO, NOON)
    assert late
    current = claim(HELLO, NOON + timedelta(seconds=61))
    assert current

    _finish(late, Outcome.SUCCEEDED, "too late")

    job.refresh_from_db()
    assert job.owner == current.token
    assert JobRun.objects.get(pk=late.run_id).outcome == Outcome.LOST
    assert JobRun.objects.get(pk=current.run_id).outcome == Outcome.RUNNING


def test_jobs_of_a_killed_cluster_can_start_again_immediately(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_ID", "aaaa")
    claim(HELLO, NOON)

    assert services.release_cluster(NOON, cluster_id="bbbb") == 0
    assert claim(HELLO, NOON + timedelta(seconds=1)) is None
    assert services.release_cluster(NOON, cluster_id="aaaa") == 1
    assert run_job(HELLO, NOON + timedelta(seconds=1)) == Outcome.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_workers_runs_a_due_job(add_job: AddJob) -> None:
    """Test that a job runs ten times in ten minutes although twelve workers try to run it each time."""
    add_job(HELLO)
    services.sync_jobs(NOON - MINUTE)
    barrier = threading.Barrier(12)

    def worker() -> None:
        for minute in range(10):
            barrier.wait()
            run_job(HELLO, NOON + minute * MINUTE)
        connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ran) == 10
    assert JobRun.objects.filter(outcome=Outcome.SUCCEEDED).count() == 10


# --- state ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_queue_state_contains_backlog_age_and_nodes() -> None:
    OrmQ.objects.create(key="opsportal", payload="", lock=NOON - timedelta(seconds=40))
    # A worker is running this task, so the task must not count as waiting.
    OrmQ.objects.create(key="opsportal", payload="", lock=NOON + timedelta(seconds=200))
    services.report_node(NOON - timedelta(seconds=70), has_ticked=True)

    state = queries.queue_state(NOON)

    assert (state.backlog, state.oldest_seconds, state.tick_age_seconds) == (1, 40, 70)
    assert state.alive
    assert len(state.nodes) == 1


@pytest.mark.django_db
def test_without_a_node_or_a_tick_the_queue_is_not_alive() -> None:
    assert not queries.queue_state(NOON).alive

    services.report_node(NOON)
    assert not queries.queue_state(NOON).alive

    services.report_node(NOON, has_ticked=True)
    assert queries.queue_state(NOON).alive
    assert not queries.queue_state(NOON + timedelta(seconds=151)).alive


@pytest.mark.django_db
def test_a_node_that_has_just_started_is_alive_before_its_first_tick() -> None:
    # The node's last report before it was shut down.
    services.report_node(NOON - timedelta(hours=2), has_ticked=True)
    services.report_node(NOON - timedelta(seconds=20), pid=4711, has_started=True)

    assert queries.queue_state(NOON).alive
    assert queries.queue_state(NOON).tick_age_seconds == 20


@pytest.mark.django_db
def test_a_cluster_is_hung_if_tasks_are_queued_and_none_is_started() -> None:
    start = NOON - timedelta(hours=1)
    services.report_node(NOON - timedelta(seconds=160), has_progressed=True)
    # Without a waiting task, the cluster is not hung.
    assert not services.is_hung(NOON, since=start)

    OrmQ.objects.create(key="opsportal", payload="", lock=NOON - timedelta(seconds=40))

    assert services.is_hung(NOON, since=start)
    # A cluster that has started recently does not count as hung.
    assert not services.is_hung(NOON, since=NOON - timedelta(seconds=100))
    services.report_node(NOON - timedelta(seconds=100), has_progressed=True)
    assert not services.is_hung(NOON, since=start)


@pytest.mark.django_db
def test_tasks_of_a_killed_cluster_are_requeued_only_without_other_clusters() -> None:
    OrmQ.objects.create(key="opsportal", payload="", lock=NOON + timedelta(seconds=200))
    Node.objects.create(name="another", version="1", seen_at=NOON)

    services.release_cluster(NOON, cluster_id="aaaa")
    assert queue.backlog(NOON).count == 0

    services.release_cluster(NOON + timedelta(minutes=5), cluster_id="aaaa")
    assert queue.backlog(NOON + timedelta(minutes=5)).count == 1


def test_the_overview_shows_each_job_with_its_last_result(job: Job) -> None:
    run_job(HELLO, NOON)
    run_job(HELLO, NOON + MINUTE)

    (line,) = queries.job_overview(NOON + 2 * MINUTE)

    assert (line.name, line.last_outcome, line.last_result) == (
        HELLO,
        "succeeded",
        "3 greeted",
    )
    assert not line.is_late
    assert queries.job_overview(NOON + 10 * MINUTE)[0].is_late


def test_old_runs_are_pruned_in_batches_and_failed_runs_later(job: Job) -> None:
    for days, outcome in ((8, "succeeded"), (8, "failed"), (31, "failed"), (6, "succeeded")):
        JobRun.objects.create(job=job, started_at=NOON - timedelta(days=days), outcome=outcome)

    assert services.prune_runs(now=NOON, limit=1) == 1
    assert services.prune_runs(now=NOON, limit=100) == 1
    assert services.prune_runs(now=NOON, limit=100) == 0
    assert sorted(JobRun.objects.values_list("outcome", flat=True)) == ["failed", "succeeded"]


@pytest.mark.django_db
def test_the_daily_cleanup_reports_what_it_deleted() -> None:
    from core.jobs.tasks import prune_history

    Node.objects.create(name="gone", version="1", seen_at=NOON)

    with time_machine.travel(NOON + timedelta(days=2), tick=False):
        assert prune_history() == "0 runs, 0 queue records, 1 nodes"
