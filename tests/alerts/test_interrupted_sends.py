"""Test that messages are neither lost nor sent twice when a node, a process or the database stops."""

import os
import threading

import pytest
from django.db import OperationalError
from django.utils import timezone

from alerts.models import Notification
from alerts.services import delivery, dispatch
from alerts.services.dispatch import Dispatcher
from core.lib.continuous import Control
from tests.alerts.conftest import NOON, Gauge, deliver, sent
from tests.alerts.failing_channels import hang
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
DEAD_PID = 2**22 + 1  # Linux gives no process an id above 2**22, so no process has this id.


def test_a_restarted_node_immediately_sends_the_messages_that_its_predecessor_had_claimed(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    # A failing provider gets three attempts per message. Five crashes of the portal must not use these up.
    for _ in range(5):
        assert Notification.objects.claim(notification.pk, now=NOON, owner=f"node:{DEAD_PID}")
        Dispatcher(dispatch.InlineExecutor(), f"node:{os.getpid()}").release_own(now=NOON)

    deliver(NOON)

    assert len(sent("triggered")) == 1


@pytest.mark.parametrize("owner", [f"other:{DEAD_PID}", f"node:{os.getppid()}"])
def test_the_claims_of_other_machines_and_of_running_processes_are_kept(
    gauge: Gauge, slack: FakeHTTP, owner: str
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    Notification.objects.claim(notification.pk, now=NOON, owner=owner)

    Dispatcher(dispatch.InlineExecutor(), f"node:{os.getpid()}").release_own(now=NOON)

    assert deliver(NOON) == {}


def test_a_message_whose_nodes_keep_dying_is_marked_as_failed(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    for _ in range(20):
        Notification.objects.claim(notification.pk, now=NOON, owner="node")
        Notification.objects.release("node", now=NOON)

    assert deliver(NOON) == {"given up": 1}

    notification.refresh_from_db()
    assert notification.state == "failed"
    assert "undelivered" in [event.kind for event in gauge.alert().events.all()]


@pytest.mark.django_db(transaction=True)
def test_a_stopping_process_finishes_its_send_and_records_the_result(slack: FakeHTTP) -> None:
    started, answer = threading.Event(), threading.Event()
    slack.respond_with(lambda request: hang(answer, started))
    make_alert(now=timezone.now())
    control = Control()

    def stop_while_sending() -> None:
        started.wait(30)
        control.stop()
        answer.set()

    stopper = threading.Thread(target=stop_while_sending)
    stopper.start()
    dispatch.run(control)
    stopper.join()

    assert len(sent("triggered")) == len(slack.requests) == 1


def test_results_are_recorded_after_the_database_was_unavailable(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError

    gauge.evaluate(6, now=NOON)
    dispatcher = Dispatcher(dispatch.InlineExecutor())
    dispatcher.step(now=NOON)
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "record", fail)
        with pytest.raises(OperationalError):
            dispatcher.step(now=NOON)

    dispatcher.step(now=NOON)

    assert len(sent("triggered")) == len(slack.requests) == 1
