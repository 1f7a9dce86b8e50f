"""Declare how long measurements, check-ins and subscribers are kept."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from core.lib.retention import Kept, keeps
from health.models import RESULT_RETENTION, ROLLUP_RETENTION
from health.models.measurements import Tier
from health.services.retention import (
    ACTIVITY_RETENTION,
    BATCH_ID_RETENTION,
    CHECK_IN_RETENTION,
)
from health.services.subscribers import UNCONFIRMED_RETENTION


@keeps("health")
def kept() -> Iterator[Kept]:
    yield Kept("Results of checks", RESULT_RETENTION)
    yield Kept("Measurements and uptime by minute", ROLLUP_RETENTION[Tier.MINUTE])
    yield Kept("Measurements and uptime by hour", ROLLUP_RETENTION[Tier.HOUR])
    yield Kept("Measurements and uptime by day", ROLLUP_RETENTION[Tier.DAY])
    yield Kept("Ids of active users", ACTIVITY_RETENTION)
    yield Kept("Ids of measurement batches", BATCH_ID_RETENTION)
    yield Kept("Check-ins of heartbeats, with their logs", CHECK_IN_RETENTION)
    yield Kept("Incidents of the status page", "until deleted")
    yield Kept("Subscribers who did not confirm", UNCONFIRMED_RETENTION)
    yield Kept("Confirmed subscribers", "until they unsubscribe or are erased")
    if settings.BACKUP_DAILY:
        note = f"The newest {settings.BACKUP_KEEP} are kept; one is created each night."
        yield Kept("Backups", timedelta(days=settings.BACKUP_KEEP), "BACKUP_KEEP", note)
