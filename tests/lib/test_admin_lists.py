"""Test that lists in the admin show states as pills and timestamps as ages."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.jobs.models import Job
from tests.factories import make_alert

pytestmark = pytest.mark.django_db


@pytest.fixture
def browse(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("owner"))
    return client


def test_admin_lists_show_severities_and_states_as_pills(browse: Client) -> None:
    make_alert()

    page = browse.get("/admin/alerts/systemalert/").content.decode()

    assert "pill--critical" in page


def test_admin_lists_show_timestamps_as_ages_with_the_full_time_on_hover(browse: Client) -> None:
    Job.objects.create(name="a.b", cron="* * * * *", next_run_at=timezone.now())

    page = browse.get("/admin/jobs/job/").content.decode()

    assert "data-live" in page
    assert " UTC" in page


@pytest.mark.parametrize("path", ["auth/user", "jobs/job", "alerts/systemalert"])
def test_styled_columns_remain_sortable(browse: Client, path: str) -> None:
    for column in range(1, 6):
        assert browse.get(f"/admin/{path}/?o={column}").status_code == 200
