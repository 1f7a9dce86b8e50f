"""A worker in a storm: `python -m tests.payments.storm`. Processes waiting events until it is killed or told to end."""

import sys
import threading
from datetime import timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402

from payments import services  # noqa: E402

ended = threading.Event()


def listen() -> None:
    sys.stdin.readline()
    ended.set()


def main() -> None:
    threading.Thread(target=listen, daemon=True).start()
    print("ready", flush=True)
    ahead = timedelta(seconds=61)  # a minute ahead, so that events need not age
    while not ended.is_set():
        if not services.process_waiting(now=timezone.now() + ahead):
            ahead += timedelta(
                seconds=5
            )  # nothing is due: time flies, also for the leases of the killed
            ended.wait(0.05)


if __name__ == "__main__":
    main()
