"""Open ALERT_COUNT alerts, one after another, and print the key of each alert once it is stored."""

import os
import time

import django

ALERT_COUNT = 12  # From 20 alerts in five minutes on, the portal sends a storm message instead.
INTERVAL_SECONDS = 4


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    django.setup()

    from django.db import Error, connections

    for number in range(1, ALERT_COUNT + 1):
        while True:
            try:
                raise_alert(number)
            except (Error, OSError):  # Retry while the database is unavailable.
                connections.close_all()
                time.sleep(0.3)
            else:
                break
        print(f"deploy.{number}", flush=True)
        time.sleep(INTERVAL_SECONDS)


def raise_alert(number: int) -> None:
    from django.utils import timezone

    from alerts.extension_points import Severity
    from alerts.services import report_problem

    report_problem(
        key=f"deploy.{number}",
        alert_type="database-down",
        title=f"Problem number {number}.",
        message="Raised while hosts fail.",
        severity=Severity.CRITICAL,
        source="tests",
        now=timezone.now(),
    )


if __name__ == "__main__":
    main()
