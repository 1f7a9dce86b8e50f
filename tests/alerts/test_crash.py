"""Test that a message is delivered even if its worker process is killed during the request to the provider."""

from collections.abc import Callable

from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import Portal

SWEEP = (
    "from alerts import services; from django.utils import timezone; "
    "print(services.deliver_waiting(now=timezone.now()))"
)
TIME_PASSES = "UPDATE alerts_notification SET lease_until = '2020-01-01 00:00:00+00:00'"


def test_a_message_is_sent_after_its_worker_was_killed(
    make_portal: Callable[..., Portal], fake: FakeHTTP
) -> None:
    portal = make_portal(SLACK_WEBHOOK_URL=f"{fake.url}/hook")
    portal.start()
    portal.start_worker()
    fake.answer(200, delay=5)
    error = {"message": "payment lost", "severity": "critical"}
    for _ in range(6):
        portal.client.post("/api/v1/errors/", headers=portal.api, json=error).raise_for_status()

    fake.wait_for(1, seconds=30)
    portal.kill_worker()

    assert portal.rows("SELECT state, attempt_count FROM alerts_notification") == [("sending", 1)]
    portal.rows(TIME_PASSES)
    portal.manage("shell", "-v0", "-c", SWEEP)

    assert portal.rows("SELECT state, attempt_count FROM alerts_notification") == [("sent", 2)]
    assert portal.value("SELECT count(*) FROM alerts_systemalert") == 1
    first, second = fake.wait_for(2)
    assert first.json()["text"] == second.json()["text"]
