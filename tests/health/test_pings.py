"""Test the check-in URLs, which have the format of healthchecks.io's ping URLs."""

import uuid

import pytest
from django.test import Client

from alerts.models import SystemAlert
from core.clients.models import ClientKey
from health.models import CheckIn, CheckInStatus, Heartbeat
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def heartbeat() -> Heartbeat:
    return Heartbeat.objects.create(
        name="backup",
        title="Backup",
        kind="heartbeat",
        slug="backup",
        interval_minutes=60,
        fail_after=1,
        recover_after=1,
    )


def address(heartbeat: Heartbeat, step: str = "") -> str:
    return f"/ping/{heartbeat.ping_key}{'/' if step else ''}{step}"


def last_run() -> CheckIn:
    return CheckIn.objects.latest("pk")


@pytest.mark.parametrize("method", ["get", "head", "post"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("", CheckInStatus.OK),
        ("0", CheckInStatus.OK),
        ("start", CheckInStatus.RUNNING),
        ("fail", CheckInStatus.ERROR),
        ("1", CheckInStatus.ERROR),
        ("255", CheckInStatus.ERROR),
    ],
)
def test_each_step_is_recorded(
    client: Client, heartbeat: Heartbeat, step: str, status: str, slash: str, method: str
) -> None:
    answer = getattr(client, method)(address(heartbeat, step) + slash)

    assert answer.status_code == 200
    assert method == "head" or answer.content == b"OK"
    assert last_run().status == status


@pytest.mark.parametrize("step", ["256", "-1", "00", "log2", "start/x"])
def test_an_unknown_step_is_not_found_and_records_nothing(
    client: Client, heartbeat: Heartbeat, step: str
) -> None:
    assert client.post(address(heartbeat, step)).status_code == 404
    assert not CheckIn.objects.exists()


def test_an_exit_status_opens_an_alert_that_names_it_and_success_resolves_it(
    client: Client, heartbeat: Heartbeat
) -> None:
    client.get(address(heartbeat, "3"))
    assert "the job ended with exit status 3" in SystemAlert.objects.active().get().message

    client.get(address(heartbeat))
    assert not SystemAlert.objects.active().exists()


def test_the_body_is_kept_as_the_output_without_personal_data(
    client: Client, heartbeat: Heartbeat
) -> None:
    for step, body in (("start", b"connecting"), ("", b"sent to ann@shop.example \xff\0 in 3 s")):
        client.post(address(heartbeat, step), body, content_type="text/plain")

    assert CheckIn.objects.count() == 1
    assert last_run().output == "connecting\nsent to [Filtered] \ufffd in 3 s"


def test_a_long_output_is_cut_and_a_form_body_is_kept_unchanged(
    client: Client, heartbeat: Heartbeat
) -> None:
    answer = client.post(address(heartbeat), b"x" * 3_000_000, content_type="text/plain")
    assert (answer.status_code, answer["Ping-Body-Limit"]) == (200, "10000")
    assert last_run().output == "x" * 10_000

    form = "application/x-www-form-urlencoded"  # `curl --data` sends this content type.
    client.post(address(heartbeat), b"rows=5", content_type=form)
    assert last_run().output == "rows=5"


def test_parallel_runs_are_distinguished_by_their_ids(client: Client, heartbeat: Heartbeat) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    for step, run in (("start", first), ("start", second), ("", first), ("1", second)):
        assert client.get(f"{address(heartbeat, step)}?rid={run}").status_code == 200

    statuses = dict(CheckIn.objects.values_list("check_in_id", "status"))
    assert statuses == {first: CheckInStatus.OK, second: CheckInStatus.ERROR}
    refused = client.get(address(heartbeat) + "?rid=5")
    assert (refused.status_code, refused.content) == (400, b"invalid uuid format")


def test_a_heartbeat_of_an_app_is_found_by_slug_and_created_on_request(client: Client) -> None:
    app = make_app("shop")
    key = ClientKey.objects.filter(app=app).first() or ClientKey.objects.create(app=app)
    url = f"/ping/{key.public_key}/nightly-mail"

    assert client.get(url).status_code == 404
    assert client.get(url + "?create=1").status_code == 200
    assert client.get(url + "/1").status_code == 200
    created = Heartbeat.objects.get()
    assert (created.app, created.slug, created.schedule) == (app, "nightly-mail", "every 1440 min")
    assert created.expected_at
    assert [run.status for run in CheckIn.objects.order_by("pk")] == ["ok", "error"]


def test_foreign_keys_and_disabled_heartbeats_are_not_found(
    client: Client, heartbeat: Heartbeat
) -> None:
    Heartbeat.objects.update(is_enabled=False)

    for path in (
        address(heartbeat),
        f"/ping/{uuid.uuid4()}",
        f"/ping/{'0' * 32}/backup?create=1",
        "/ping/not-a-key/backup?create=1",
        "/ping/",
    ):
        assert client.get(path).status_code == 404, path
    assert Heartbeat.objects.count() == 1
    assert not CheckIn.objects.exists()
