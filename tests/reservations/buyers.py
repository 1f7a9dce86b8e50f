"""Run a process of concurrent buyers: `python -m tests.reservations.buyers TYPE_ID THREADS NAME`.

Each thread reserves one ticket after another, and completes every second reservation, until the ticket type is sold
out. The program prints a JSON object that maps each outcome, including unexpected exceptions, to its count.
"""

import json
import sys
import threading
from collections import Counter

import django

django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.clients.models import ClientApp  # noqa: E402
from reservations import services  # noqa: E402


def buy(app: ClientApp, type_id: int, got: "Counter[str]") -> None:
    try:
        while True:
            key = f"{sys.argv[3]}-{threading.get_ident()}-{got.total()}"
            wanted = services.Wanted(((type_id, 1),), "", "", key=key, digest="f")
            try:
                made = services.reserve(app=app, wanted=wanted, now=timezone.now())
            except services.Busy:
                got["busy"] += 1
                continue
            except services.SoldOut:
                return
            got["reserved"] += 1
            if got["reserved"] % 2:
                services.complete(
                    reservation=made.reservation, paid_elsewhere="desk", now=timezone.now()
                )
                got["completed"] += 1
    except Exception as error:
        got[repr(error)] += 1
    finally:
        connection.close()


def main() -> None:
    type_id, thread_count = int(sys.argv[1]), int(sys.argv[2])
    app = ClientApp.objects.get(slug="buyers")
    results: list[Counter[str]] = [Counter() for _ in range(thread_count)]
    threads = [threading.Thread(target=buy, args=(app, type_id, got)) for got in results]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(sum(results, Counter())), flush=True)


if __name__ == "__main__":
    main()
