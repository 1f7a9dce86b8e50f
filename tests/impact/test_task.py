"""Test the continuous task that computes the cost of problems."""

import pytest

from core.lib.continuous import Control
from impact import tasks
from impact.models import Change, Order
from tests.factories import make_payment

pytestmark = pytest.mark.django_db


class OneRound(Control):
    """A control that stops the task after its first round."""

    def report_progress(self) -> None:
        self.stop()


def test_the_task_applies_all_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "INTERVAL_SECONDS", 0.0)
    payment = make_payment(order_id="A-1")
    assert Change.objects.exists()

    tasks.add_up_orders(OneRound())

    assert not Change.objects.exists()
    assert Order.objects.get().amount == payment.amount
