"""Run a worker for test_storm.py: `python -m tests.payments.storm`.

The worker exits when it reads a line from standard input.
"""

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
    ahead = timedelta(seconds=61)  # The sweep leaves out events of the last minute.
    while not ended.is_set():
        if not services.process_waiting(now=timezone.now() + ahead):
            # If no event is due, advance the time to let the leases of killed workers expire.
            ahead += timedelta(seconds=5)
            ended.wait(0.05)


if __name__ == "__main__":
    main()
