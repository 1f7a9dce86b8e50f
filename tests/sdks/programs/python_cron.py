"""Check in like a cron job with an unmodified sentry-sdk: `python_cron.py DSN`."""

import sys

import sentry_sdk
from sentry_sdk.crons import monitor


@monitor(
    monitor_slug="nightly-export",
    monitor_config={"schedule": {"type": "crontab", "value": "0 2 * * *"}, "timezone": "UTC"},
)
def export() -> None:
    pass


sentry_sdk.init(dsn=sys.argv[1])
export()
sentry_sdk.flush(10)
