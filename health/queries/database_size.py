"""Read the size of the database, and forecast when it will reach a limit."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection

from core.lib.db_time import EpochSeconds
from core.lib.forecasts import Points, Trend, forecast
from health.models import Series, SeriesKind, Tier, Value

SIZE_GAUGE = "database_size_bytes"
BASES = (timedelta(days=1), timedelta(days=7), timedelta(days=30))


def database_size_bytes() -> int:
    """Return the size of the database on disk, including SQLite's write-ahead log."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name = Path(str(connection.settings_dict["NAME"]))
    files = [name, name.with_name(name.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def free_disk_bytes() -> int | None:
    """Return how many bytes the database can grow, or None if the database may be on another machine."""
    if connection.vendor == "postgresql":
        return None
    return shutil.disk_usage(Path(str(connection.settings_dict["NAME"])).absolute().parent).free


def load_course(*, now: datetime) -> Points:
    """Return the size in bytes at the end of each hour of the last 30 days, oldest first."""
    rows = Value.objects.filter(
        series__in=Series.objects.filter(kind=SeriesKind.GAUGE, name=SIZE_GAUGE),
        tier=Tier.HOUR,
        start__gt=now - max(BASES),
    )
    # Sort in Python. With ORDER BY, SQLite would use the index on `start` and read all series.
    found = sorted(rows.values_list(EpochSeconds("start") + Tier.HOUR.value, "last"))
    return [(min(datetime.fromtimestamp(end, UTC), now), last) for end, last in found]


def forecast_size(course: Points, *, limit: float, now: datetime) -> Trend:
    """Forecast when the size of the database will reach `limit` bytes."""
    return forecast(course, limit=limit, now=now, bases=BASES)
