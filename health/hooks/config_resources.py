"""Define the objects of health that the API and configuration files manage; see core.config.extension_points."""

from datetime import datetime
from typing import Any

from django.db.models import Model

from core.clients.models import Scope
from core.config.extension_points import Resource, Values, config_resource, refer_by
from health.models import (
    Component,
    Heartbeat,
    Incident,
    IncidentTemplate,
    MaintenanceWindow,
    Monitor,
)
from health.monitor_types import TYPES

# These request headers are not secret. Others may contain credentials.
PLAIN_HEADERS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "user-agent",
}

refer_by(Component, "name")


class ComponentResource(Resource):
    key = "name"

    def shown_types(self) -> dict[str, Any]:
        return {"status": str, "last_at": str | None, "last_message": str}

    def shown(self, row: Any) -> Values:
        last_at = row.last_at.isoformat().replace("+00:00", "Z") if row.last_at else None
        return {"status": row.status, "last_at": last_at, "last_message": row.last_message}


@config_resource
class Monitors(ComponentResource):
    """Monitors have the members of all types. Members of types other than the monitor's own have no effect."""

    kind = "monitors"
    model = Monitor
    inlines = {"steps": "position"}

    def parameters(self, row: Monitor | None, given: Values) -> dict[str, str]:
        return {"url": row.url if row else str(given.get("url", ""))}

    def variants(self) -> list[tuple[dict[str, str], Model]]:
        return [({"url": info.example}, Monitor(url=info.example)) for info in TYPES.values()]

    def is_secret(self, values: Values, path: tuple[str, ...]) -> bool:
        if "headers" in path and path[-1].lower() in PLAIN_HEADERS:
            return False
        return super().is_secret(values, path)


@config_resource
class Heartbeats(ComponentResource):
    kind = "heartbeats"
    model = Heartbeat

    def shown_types(self) -> dict[str, Any]:
        return {**super().shown_types(), "ping_url": str, "expected_at": str | None}

    def shown(self, row: Heartbeat) -> Values:
        expected_at = (
            row.expected_at.isoformat().replace("+00:00", "Z") if row.expected_at else None
        )
        return {**super().shown(row), "ping_url": row.ping_url, "expected_at": expected_at}


@config_resource
class MaintenanceWindows(Resource):
    kind = "maintenance-windows"
    model = MaintenanceWindow
    key = "reference"
    read_scope = Scope.INCIDENTS_READ
    write_scope = Scope.INCIDENTS_WRITE

    def is_exported(self, row: MaintenanceWindow, *, now: datetime) -> bool:
        """Leave out windows that are over."""
        return row.ends_at > now


@config_resource
class IncidentTemplates(Resource):
    kind = "incident-templates"
    model = IncidentTemplate
    key = "name"


@config_resource
class Incidents(Resource):
    """Incidents are managed only by the API, because they are records, not configuration."""

    kind = "incidents"
    model = Incident
    key = "reference"
    inlines = {"updates": "at"}
    read_scope = Scope.INCIDENTS_READ
    write_scope = Scope.INCIDENTS_WRITE
    is_in_files = False

    def shown_types(self) -> dict[str, Any]:
        return {"state": str, "is_automatic": bool, "resolved_at": str | None}

    def shown(self, row: Incident) -> Values:
        resolved_at = (
            row.resolved_at.isoformat().replace("+00:00", "Z") if row.resolved_at else None
        )
        return {
            "state": row.state,
            "is_automatic": row.is_automatic,
            "resolved_at": resolved_at,
        }
