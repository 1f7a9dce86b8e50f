"""Run manage.py with short intervals between storm messages and short provider timeouts, to save time."""

import os
import sys
from datetime import timedelta

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")


def shorten_waits() -> None:
    from alerts.channels import http
    from alerts.services import storms

    storms.EARLY_UPDATE_INTERVAL = timedelta(seconds=2)
    http.TIMEOUT_SECONDS = 3.0


if __name__ == "__main__":
    import django

    django.setup()
    shorten_waits()
    execute_from_command_line(sys.argv)
