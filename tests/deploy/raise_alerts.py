"""Run on a host: raises one alert after another, each once, and prints the key when the database has it."""

import os
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
django.setup()

from django.db import Error, connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from alerts.rules import Severity  # noqa: E402
from alerts.services import report_problem  # noqa: E402

ending = Path(os.environ["DATA_DIR"]) / "no-more-alerts"
MOST = 12  # 20 within five minutes would be told as one storm
number = 0
while not ending.exists() and number < MOST:
    number += 1
    key = f"deploy.{number}"
    while not ending.exists():
        try:
            report_problem(
                key=key,
                alert_type="database-down",
                title=f"Problem number {number}.",
                message="Raised while hosts come and go.",
                severity=Severity.CRITICAL,
                source="tests",
                now=timezone.now(),
            )
        except (Error, OSError):
            connections.close_all()
            time.sleep(0.3)
        else:
            print(key, flush=True)
            break
    time.sleep(4)
