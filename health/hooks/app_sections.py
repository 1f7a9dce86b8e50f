"""Show heartbeats with invalid settings on an app's page."""

from datetime import datetime
from typing import Any

from core.clients.extension_points import app_section
from core.clients.models import ClientApp
from health.models import Heartbeat


@app_section(
    "health.heartbeats",
    title="Jobs with an invalid monitor_config",
    icon="clock",
    template="health/_app_heartbeats.html",
    order=10,
)
def heartbeats(app: ClientApp, now: datetime) -> dict[str, Any] | None:
    """Return the app's heartbeats whose last monitor_config had invalid settings, or None if there are none."""
    found = Heartbeat.objects.filter(app=app).exclude(config_problem="").order_by("title")
    return {"heartbeats": found} if found else None
