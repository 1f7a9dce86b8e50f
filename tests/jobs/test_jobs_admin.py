"""Test that staff can see the history of scheduled jobs in the admin, start jobs, and disable jobs."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from core.jobs import services
from core.jobs.models import Job, Outcome
from core.jobs.queries import job_overview
from core.jobs.running import run_job
from core.lib import queue

JOBS = "/admin/jobs/job/"
NAME = "core.jobs.tasks.prune_history"


@pytest.fixture
def job(db: None) -> Job:
    services.sync_jobs(timezone.now())
    return Job.objects.get(name=NAME)


def act(client: Client, action: str, job: Job) -> None:
    response = client.post(JOBS, {"action": action, "_selected_action": [job.pk]})
    assert response.status_code == 302


def test_lists_and_forms_open(admin_client: Client, job: Job) -> None:
    Job.objects.filter(pk=job.pk).run_now(now=timezone.now())
    run_job(NAME, timezone.now() + timedelta(seconds=1))
    OrmQ.objects.all().delete()
    queue.enqueue("core.jobs.tasks.run", name=NAME)

    for page in (
        JOBS, f"{JOBS}{job.pk}/change/", "/admin/jobs/jobrun/", "/admin/jobs/node/",
        "/admin/django_q/failure/", "/admin/django_q/ormq/",
        f"/admin/jobs/jobrun/{job.runs.get().pk}/change/",
    ):  # fmt: skip
        assert admin_client.get(page).status_code == 200, page


def test_the_list_shows_the_name_purpose_outcome_and_time_until_the_next_run(
    admin_client: Client, job: Job
) -> None:
    Job.objects.filter(pk=job.pk).update(
        last_outcome=Outcome.SUCCEEDED, next_run_at=timezone.now() + timedelta(hours=3, minutes=1)
    )

    page = admin_client.get(f"{JOBS}?q=prune_history").content.decode()

    assert "Delete old job runs" in page
    assert "Delete job runs after a week" in page
    assert "daily at 02:10" in page
    assert "Succeeded" in page
    assert "in 3 h" in page


def test_a_disabled_job_is_shown_as_off_without_a_next_run(admin_client: Client, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(is_enabled=False, last_outcome=Outcome.SUCCEEDED)

    page = admin_client.get(f"{JOBS}?q=prune_history").content.decode()

    assert ">Off<" in page
    assert "Succeeded</span>" not in page
    assert 'data-live="next"' not in page


@pytest.mark.parametrize("model", ["schedule", "success"])
def test_admin_pages_of_django_q2_that_could_break_it_are_removed(
    admin_client: Client, model: str
) -> None:
    assert admin_client.get(f"/admin/django_q/{model}/").status_code == 404


def test_a_job_can_be_started_now(
    admin_client: Client, job: Job, django_capture_on_commit_callbacks: object
) -> None:
    act(admin_client, "run_now", job)

    job.refresh_from_db()
    assert job.next_run_at <= timezone.now()
    assert job.nudged_at is not None


def test_a_job_can_be_disabled_and_enabled(admin_client: Client, job: Job) -> None:
    act(admin_client, "disable", job)
    job.refresh_from_db()
    assert not job.is_enabled

    act(admin_client, "enable", job)
    job.refresh_from_db()
    assert job.is_enabled


def test_jobs_cannot_be_added_or_deleted_in_the_admin(admin_client: Client, job: Job) -> None:
    assert admin_client.get(f"{JOBS}add/").status_code == 403
    assert admin_client.post(f"{JOBS}{job.pk}/delete/", {"post": "yes"}).status_code == 403


def test_users_with_view_permission_cannot_start_a_job(client: Client, job: Job) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(reader)
    before = job.next_run_at

    assert client.get(JOBS).status_code == 200
    client.post(JOBS, {"action": "run_now", "_selected_action": [job.pk]})

    job.refresh_from_db()
    assert job.next_run_at == before


def test_a_job_whose_feature_is_off_is_shown_as_off(admin_client: Client, job: Job) -> None:
    name = "alerts.tasks.ping_watchdog"
    at = timezone.now() + timedelta(minutes=2)
    Job.objects.filter(name=name).run_now(now=timezone.now())
    run_job(name, at)

    page = admin_client.get(f"{JOBS}?q=watchdog").content.decode()
    line = next(line for line in job_overview(at) if line.name == name)

    assert line.is_off
    assert "Succeeded</span>" not in page.split('id="result_list"', 1)[1]
    assert "Off</span>" in page


def test_the_duration_of_a_run_has_a_unit(admin_client: Client, job: Job) -> None:
    at = timezone.now()
    job.runs.create(
        started_at=at - timedelta(milliseconds=253), finished_at=at, outcome="succeeded"
    )

    assert ">253 ms</td>" in admin_client.get("/admin/jobs/jobrun/").content.decode()
