"""Run on a host: raises MOST alerts one after another, each once, and prints its key when the database has it."""

import os
import time

import django

MOST = 12  # 20 within five minutes would be told as one storm
APART = 4  # seconds


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    django.setup()

    from django.db import Error, connections

    for number in range(1, MOST + 1):
        while True:
            try:
                raise_alert(number)
            except (Error, OSError):  # the database is away
                connections.close_all()
                time.sleep(0.3)
            else:
                break
        print(f"deploy.{number}", flush=True)
        time.sleep(APART)


def raise_alert(number: int) -> None:
    from django.utils import timezone

    from alerts.extension_points import Severity
    from alerts.services import report_problem

    report_problem(
        key=f"deploy.{number}",
        alert_type="database-down",
        title=f"Problem number {number}.",
        message="Raised while hosts come and go.",
        severity=Severity.CRITICAL,
        source="tests",
        now=timezone.now(),
    )


if __name__ == "__main__":
    main()
