"""Run a process that is killed while it creates a payment: `python -m tests.payments.dying INSTANT APP_ID KEY`.

The process sends itself SIGKILL at the given instant, so that it cannot clean up, as in a power failure.
"""

import os
import signal
import sys
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db.transaction import Atomic  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.clients.models import ClientApp  # noqa: E402
from payments import services, stripe_api  # noqa: E402
from payments.services import attempt, create  # noqa: E402

NEW_PAYMENT = services.NewPayment(amount=2500, currency="EUR", order_id="o-1")


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after_the_answer(**arguments: Any) -> Any:
    _create_intent(**arguments)
    die()


class DyingTransaction(Atomic):
    """A transaction that kills the process before the second commit. The first commit stores the new payment."""

    used = 0

    def __exit__(self, *_: Any) -> None:
        type(self).used += 1
        if type(self).used == 2:
            die()
        super().__exit__(*_)


_create_intent = stripe_api.create_intent


def arm(instant: str) -> None:
    match instant:
        case "inserted":
            attempt.request_intent = die
        case "asked":
            # The test kills the process between the double's creation of the intent and its response.
            pass
        case "answered":
            stripe_api.create_intent = after_the_answer
        case "storing":
            create.transaction = type(  # type: ignore[assignment, attr-defined]
                "transaction",
                (),
                {"atomic": staticmethod(lambda: DyingTransaction(None, True, False))},
            )
        case "stored":
            create._stored_response = die
        case _:
            raise SystemExit(f"no instant {instant!r}")


def main() -> None:
    instant, app_id, key = sys.argv[1:]
    settings.STRIPE_SECRET_KEY = os.environ["DOUBLE_KEY"]
    arm(instant)
    app = ClientApp.objects.get(pk=app_id)
    services.create_payment(app=app, new_payment=NEW_PAYMENT, key=key, now=timezone.now())


if __name__ == "__main__":
    main()
