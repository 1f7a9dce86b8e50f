"""Test that the page of retention periods states the periods that the cleanup applies."""

from datetime import timedelta
from typing import Any

import pytest

from alerts.services import cleanup
from core.accounts.services import audit
from core.jobs import services as jobs
from core.lib.retention import retention_periods
from core.limits import tasks as limits
from errors.services import artifacts
from errors.services import retention as errors
from health.models import RESULT_RETENTION, ROLLUP_RETENTION
from health.models.measurements import Tier
from health.services import retention as health
from health.services.subscribers import UNCONFIRMED_RETENTION
from impact.services.links import REMEMBERED_FOR
from otlp.sums import SUM_RETENTION
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def test_each_period_matches_the_period_that_the_cleanup_applies(settings: Any) -> None:
    make_app(name="Box office", retention_days=45)
    settings.LOG_DAYS, settings.WEBHOOK_EVENT_DAYS, settings.SOURCE_MAP_DAYS = 5, 6, 7
    settings.BACKUP_DAILY, settings.BACKUP_KEEP = True, 8
    settings.SESSION_COOKIE_AGE = 9 * 3600

    kept = {row.data: row.period for list_kept in retention_periods for row in list_kept()}

    assert {data: period for data, period in kept.items() if isinstance(period, timedelta)} == {
        "Audit log": audit.RETENTION,
        "Backups": timedelta(days=8),
        "Check-ins of heartbeats, with their logs": health.CHECK_IN_RETENTION,
        "Counts of errors by hour and day": errors.SUM_RETENTION,
        "Counts of errors by minute and quarter of an hour": errors.MINUTE_COUNT_RETENTION,
        "Counts of rejected calls": limits.RETENTION,
        "Events of Box office": timedelta(days=45),
        "Ids of active users": health.ACTIVITY_RETENTION,
        "Ids of measurement batches": health.BATCH_ID_RETENTION,
        "Last values of OpenTelemetry sums": SUM_RETENTION,
        "Links between errors and later orders of a person": REMEMBERED_FOR,
        "Log entries and traced requests": timedelta(days=5),
        "Measurements and uptime by day": ROLLUP_RETENTION[Tier.DAY],
        "Measurements and uptime by hour": ROLLUP_RETENTION[Tier.HOUR],
        "Measurements and uptime by minute": ROLLUP_RETENTION[Tier.MINUTE],
        "Notifications": cleanup.NOTIFICATION_RETENTION,
        "Parts of unfinished uploads": artifacts.CHUNK_RETENTION,
        "Processed events from Stripe": timedelta(days=6),
        "Resolved alerts": cleanup.ALERT_RETENTION,
        "Results of checks": RESULT_RETENTION,
        "Runs of jobs that failed": jobs.FAILURE_RETENTION,
        "Runs of jobs that succeeded": jobs.SUCCESS_RETENTION,
        "Sessions of staff": timedelta(hours=9),
        "Source maps after their last use": timedelta(days=7),
        "Subscribers who did not confirm": UNCONFIRMED_RETENTION,
        "Values of rules that opened alerts": cleanup.NOISY_READING_RETENTION,
        "Values that alert rules read": cleanup.READING_RETENTION,
    }
