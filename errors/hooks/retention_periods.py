"""Declare the retention periods of errors and source maps."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from core.clients.models import ClientApp
from core.lib.app_access import limit
from core.lib.retention import Kept, keeps
from errors.services.artifacts import CHUNK_RETENTION
from errors.services.retention import MINUTE_COUNT_RETENTION, SUM_RETENTION


@keeps("errors")
def kept() -> Iterator[Kept]:
    for app in limit(ClientApp.objects.order_by("name")):
        yield Kept(f"Events of {app.name}", timedelta(days=app.retention_days), "The app's page")
    yield Kept("Groups of errors, and releases", "until deleted")
    yield Kept("Counts of errors by minute and quarter of an hour", MINUTE_COUNT_RETENTION)
    yield Kept("Counts of errors by hour and day", SUM_RETENTION)
    days = timedelta(days=settings.SOURCE_MAP_DAYS)
    yield Kept("Source maps after their last use", days, "SOURCE_MAP_DAYS")
    yield Kept("Parts of unfinished uploads", CHUNK_RETENTION)
