"""Record gauges about the portal itself: database size, active users and task backlog."""

from datetime import datetime, timedelta

from core.clients.services import ensure_portal_app
from core.jobs.queries import queue_state
from health.models import ActiveUser
from health.queries.database_size import SIZE_GAUGE, database_size_bytes
from health.services.measurements import record_measurements
from health.signals import Gauge

DATABASE_SIZE = SIZE_GAUGE
ACTIVE_USERS = "active_users"
QUEUE_BACKLOG = "queue_backlog"
ACTIVE_WITHIN = timedelta(minutes=15)


def record_gauges(*, now: datetime) -> dict[str, float]:
    """Measure and record all gauges, and return their levels by name."""
    levels: dict[str, float] = {
        DATABASE_SIZE: database_size_bytes(),
        ACTIVE_USERS: ActiveUser.objects.seen_since(now - ACTIVE_WITHIN).user_count(),
        QUEUE_BACKLOG: queue_state(now).backlog,
    }
    record_measurements(
        [Gauge(name, value) for name, value in levels.items()], app=ensure_portal_app(), now=now
    )
    return levels
