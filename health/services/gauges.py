"""What the portal measures of itself each minute: its database's size, who is there, how work goes."""

from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection

from health.models import ActiveUser
from health.services.measurements import record_measurements
from health.signals import Gauge
from opsportal.clients.services import ensure_portal_app
from opsportal.jobs.queries import queue_state

DATABASE_SIZE = "database_size_bytes"
ACTIVE_USERS = "active_users"
QUEUE_BACKLOG = "queue_backlog"
ACTIVE_WITHIN = timedelta(minutes=15)


def record_gauges(*, now: datetime) -> dict[str, float]:
    """Measure and record; returns the levels."""
    levels: dict[str, float] = {
        DATABASE_SIZE: database_size_bytes(),
        ACTIVE_USERS: ActiveUser.objects.seen_since(now - ACTIVE_WITHIN).people(),
        QUEUE_BACKLOG: queue_state(now).backlog,
    }
    record_measurements(
        [Gauge(name, value) for name, value in levels.items()], app=ensure_portal_app(), now=now
    )
    return levels


def database_size_bytes() -> int:
    """All of the database on disk, with SQLite's write-ahead log."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name = Path(str(connection.settings_dict["NAME"]))
    files = [name, name.with_name(name.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())
