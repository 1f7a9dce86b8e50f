import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.test import Client

from alerts.models import SystemAlert
from health.models import CheckIn, CheckInStatus, Heartbeat
from health.services import TooManyHeartbeats, heartbeats, record_check_in, sweep_heartbeats
from tests.factories import make_app

pytestmark = pytest.mark.django_db
THREE = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
NIGHTLY = {
    "schedule": {"type": "crontab", "value": "0 3 * * *"},
    "checkin_margin": 5,
    "max_runtime": 30,
    "timezone": "UTC",
}


def test_a_missed_check_in_raises_one_alert_until_the_next_check_in() -> None:
    app = make_app("shop")
    record_check_in(app=app, slug="nightly", status="ok", now=THREE, monitor_config=NIGHTLY)
    tomorrow = THREE + timedelta(days=1)

    # The check-in is late, but within the margin.
    assert sweep_heartbeats(now=tomorrow + timedelta(minutes=4)) == 0
    assert sweep_heartbeats(now=tomorrow + timedelta(minutes=6)) == 1
    assert sweep_heartbeats(now=tomorrow + timedelta(minutes=7)) == 0

    alert = SystemAlert.objects.active().get()
    assert "nightly" in alert.title
    assert "due at 2026-03-11 03:00 UTC" in alert.message
    assert CheckIn.objects.filter(status=CheckInStatus.MISSED).count() == 1

    record_check_in(app=app, slug="nightly", status="ok", now=tomorrow + timedelta(hours=1))
    assert not SystemAlert.objects.active().exists()


def test_a_slightly_early_check_in_counts_for_the_expected_time() -> None:
    app = make_app()
    record_check_in(app=app, slug="nightly", status="ok", now=THREE, monitor_config=NIGHTLY)
    early = THREE + timedelta(days=1, seconds=-30)

    record_check_in(app=app, slug="nightly", status="ok", now=early)

    assert sweep_heartbeats(now=early + timedelta(hours=2)) == 0
    assert Heartbeat.objects.get().expected_at == THREE + timedelta(days=2)


def test_a_start_and_an_end_form_one_run_with_a_duration() -> None:
    app, run = make_app(), uuid.uuid4()
    record_check_in(
        app=app,
        slug="job",
        status="in_progress",
        now=THREE,
        check_in_id=run,
        monitor_config=NIGHTLY,
    )
    record_check_in(
        app=app, slug="job", status="ok", now=THREE + timedelta(minutes=2), check_in_id=run
    )

    check_in = CheckIn.objects.get()
    assert (check_in.status, check_in.duration_ms) == (CheckInStatus.OK, 120_000)


def test_the_nil_id_refers_to_the_running_check_in() -> None:
    app, nil = make_app(), uuid.UUID(int=0)
    record_check_in(app=app, slug="job", status="in_progress", now=THREE, check_in_id=nil)
    record_check_in(app=app, slug="job", status="error", now=THREE, check_in_id=nil, duration=1.5)
    record_check_in(app=app, slug="job", status="ok", now=THREE, check_in_id=nil)

    assert list(CheckIn.objects.order_by("pk").values_list("status", "duration_ms")) == [
        ("error", 1500),
        ("ok", 0),
    ]


def test_a_failed_job_raises_an_alert_at_once() -> None:
    record_check_in(app=make_app(), slug="job", status="error", now=THREE)

    assert SystemAlert.objects.active().get().alert_type == "missed-heartbeat"


def test_an_overlong_run_raises_an_alert() -> None:
    app = make_app()
    record_check_in(app=app, slug="job", status="in_progress", now=THREE, monitor_config=NIGHTLY)

    assert sweep_heartbeats(now=THREE + timedelta(minutes=29)) == 0
    assert sweep_heartbeats(now=THREE + timedelta(minutes=31)) == 1

    assert CheckIn.objects.get().status == CheckInStatus.TIMEOUT
    assert "still running after 30 min" in SystemAlert.objects.active().get().message


def test_sentry_thresholds_are_applied() -> None:
    config = {**NIGHTLY, "failure_issue_threshold": 2, "recovery_threshold": 2}
    app = make_app()
    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config=config)
    for minute, alerts in ((1, 0), (2, 1)):
        now = THREE + timedelta(minutes=minute)
        record_check_in(app=app, slug="job", status="error", now=now)
        assert SystemAlert.objects.active().count() == alerts


def test_invalid_settings_in_a_config_are_ignored() -> None:
    record_check_in(
        app=make_app(),
        slug="job",
        status="ok",
        now=THREE,
        monitor_config={
            "schedule": {"type": "crontab", "value": "every night"},
            "checkin_margin": -3,
            "max_runtime": "long",
            "timezone": "Mars/Olympus",
        },
    )
    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.schedule, heartbeat.margin_minutes) == ("no schedule", 5)
    assert sweep_heartbeats(now=THREE + timedelta(days=400)) == 0


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "schedule: missing"),
        ("daily", "monitor_config: “daily” is not an object"),
        ({"schedule": "daily"}, "schedule: “daily” is not an object"),
        (
            {"schedule": {"type": "crontab", "value": "every night"}},
            "schedule: “every night” is not a crontab expression with five fields, such as 0 3 * * *",
        ),
        (
            {"schedule": {"type": "interval", "value": 0, "unit": "hour"}},
            "schedule: “0” is not an interval from 1 to 1,000",
        ),
        (
            {"schedule": {"type": "interval", "value": 2, "unit": "moon"}},
            "schedule: “moon” is not a unit; use one of minute, hour, day, week, month, year",
        ),
        (
            {**NIGHTLY, "timezone": "Mars/Olympus"},
            "timezone: “Mars/Olympus” is not a valid time zone; use a name such as Europe/Berlin",
        ),
        (
            {**NIGHTLY, "checkin_margin": -3, "max_runtime": "long"},
            "checkin_margin: “-3” is not a whole number from 1 to 32,000; "
            "max_runtime: “long” is not a whole number from 1 to 32,000",
        ),
        (
            {**NIGHTLY, "timezone": "jane@example.com"},
            "timezone: “[Filtered]” is not a valid time zone; use a name such as Europe/Berlin",
        ),
        (None, ""),
        (NIGHTLY, ""),
        ({**NIGHTLY, "checkin_margin": None, "timezone": None}, ""),
    ],
)  # fmt: skip
def test_each_invalid_setting_of_a_config_is_described(config: object, problem: str) -> None:
    record_check_in(app=make_app(), slug="job", status="ok", now=THREE, monitor_config=config)

    assert Heartbeat.objects.get().config_problem == problem


def test_a_valid_config_clears_the_problem_and_a_check_in_without_one_keeps_it() -> None:
    app = make_app()
    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config={})

    record_check_in(app=app, slug="job", status="ok", now=THREE)
    assert Heartbeat.objects.get().config_problem == "schedule: missing"

    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config=NIGHTLY)
    assert Heartbeat.objects.get().config_problem == ""


def test_the_pages_of_the_heartbeat_and_of_its_app_show_the_problem(admin_client: Client) -> None:
    app = make_app("shop")
    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config={"schedule": "x"})
    pk = Heartbeat.objects.get().pk

    for url in (
        f"/admin/health/heartbeat/{pk}/change/",
        "/admin/health/heartbeat/",
        f"/admin/apps/{app.pk}/keys/",
    ):
        page = admin_client.get(url).content.decode()
        assert "monitor_config" in page
        assert "“x” is not an object" in page or url.endswith("heartbeat/")


def test_the_page_of_an_app_without_invalid_jobs_has_no_such_section(admin_client: Client) -> None:
    app = make_app("shop")
    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config=NIGHTLY)

    assert "monitor_config" not in admin_client.get(f"/admin/apps/{app.pk}/keys/").content.decode()


def test_the_interval_starts_at_the_last_check_in() -> None:
    app = make_app()
    config = {"schedule": {"type": "interval", "value": 2, "unit": "hour"}}
    record_check_in(app=app, slug="job", status="ok", now=THREE, monitor_config=config)

    assert Heartbeat.objects.get().expected_at == THREE + timedelta(hours=2)


def test_the_number_of_heartbeats_per_app_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "MAX_PER_APP", 1)
    app = make_app()
    record_check_in(app=app, slug="a", status="ok", now=THREE)
    with pytest.raises(TooManyHeartbeats):
        record_check_in(app=app, slug="b", status="ok", now=THREE)


def add_heartbeat(client: Client, **fields: object) -> str:
    """Post the admin's form for a new heartbeat, and return the error messages that the page shows."""
    form = {
        "title": "Nightly invoices",
        "app": "",
        "slug": "",
        "environment": "",
        "interval_minutes": "60",
        "time_zone": "UTC",
        "margin_minutes": "5",
        "max_runtime_minutes": "30",
        "fail_after": "1",
        "recover_after": "1",
        "position": "0",
        "is_enabled": "on",
        "check_ins-TOTAL_FORMS": "0",
        "check_ins-INITIAL_FORMS": "0",
        **fields,
    }
    client.force_login(
        get_user_model().objects.get_or_create(username="o", is_superuser=True, is_staff=True)[0]
    )
    answer = client.post("/admin/health/heartbeat/add/", form)
    return "" if answer.status_code == 302 else str(answer.context["errors"])


def test_a_job_of_the_company_itself_needs_no_app(client: Client) -> None:
    assert add_heartbeat(client) == ""
    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.app, heartbeat.slug) == (None, "nightly-invoices")

    assert client.get(heartbeat.ping_path).json()["status"] == "ok"
    heartbeat.refresh_from_db()
    assert heartbeat.expected_at
    assert sweep_heartbeats(now=heartbeat.expected_at + timedelta(minutes=6)) == 1
    assert "Nightly invoices" in SystemAlert.objects.active().get().title


def test_two_jobs_without_an_app_cannot_have_the_same_name(client: Client) -> None:
    add_heartbeat(client)
    assert "Another heartbeat without an app has this slug" in add_heartbeat(client)
    assert add_heartbeat(client, environment="staging") == ""
    with pytest.raises(IntegrityError), transaction.atomic():
        Heartbeat.objects.create(
            name="twin", title="Twin", kind="heartbeat", slug="nightly-invoices"
        )
    app = make_app()
    record_check_in(app=app, slug="nightly-invoices", status="ok", now=THREE)
    assert Heartbeat.objects.filter(slug="nightly-invoices").count() == 3


def test_a_cron_job_checks_in_at_a_plain_url(client: Client) -> None:
    record_check_in(app=make_app(), slug="job", status="ok", now=THREE, monitor_config=NIGHTLY)
    url = Heartbeat.objects.get().ping_path

    assert client.get(url + "start/").json()["status"] == "in_progress"
    assert client.post(url + "fail/").json()["status"] == "error"
    assert SystemAlert.objects.active().count() == 1
    assert client.get(url).json()["status"] == "ok"
    assert SystemAlert.objects.active().count() == 0
    assert client.get(url + "explode/").status_code == 404
    assert client.get(f"/api/v1/heartbeats/{uuid.uuid4()}/").status_code == 404
