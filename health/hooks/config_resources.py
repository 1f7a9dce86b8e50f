"""Define the objects of health that the API and configuration files manage; see core.config.extension_points."""

import base64
import binascii
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model, QuerySet

from core.clients.models import Scope
from core.config.extension_points import (
    InvalidConfig,
    Resource,
    Values,
    config_resource,
    refer_by,
)
from core.lib.app_access import limit
from health.models import (
    MAIN_PAGE,
    Component,
    Heartbeat,
    Incident,
    IncidentTemplate,
    MaintenanceWindow,
    Monitor,
    StatusPage,
)
from health.monitor_types import TYPES
from health.public_urls import absolute_url
from health.services.checks import sync_components

# Other request headers may contain credentials, so their values are secret.
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
    """Monitors of all types. Members that do not apply to a monitor's type have no effect."""

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
class Checks(ComponentResource):
    """The portal's own checks. The code defines them; configuration can publish, group, tag or disable them."""

    kind = "checks"
    model = Component

    def rows(self) -> "QuerySet[Any]":
        sync_components()  # A new portal has no rows for its checks before they first run.
        return limit(Component.objects.checks())

    def shown_types(self) -> dict[str, Any]:
        return {"title": str, **super().shown_types()}

    def shown(self, row: Any) -> Values:
        return {"title": row.title, **super().shown(row)}

    def form_values(self, row: Any, given: Values) -> Values:
        if row is None:
            raise InvalidConfig({"name": ["The portal has no check with this name."]})
        return given

    def why_kept(self, row: Any) -> str:
        return "it is part of the portal; disable it instead"


@config_resource
class StatusPages(Resource):
    """The name and appearance of the status page.

    There is only one object, with the reference "main".
    """

    kind = "status-pages"
    model = StatusPage
    key = "reference"

    def extra_types(self) -> dict[str, Any]:
        return {"logo": str}

    def extra_values(self, row: StatusPage) -> Values:
        """Return the logo as a data URL, such as data:image/png;base64,iVBOR…, or "" without a logo."""
        if not row.logo:
            return {"logo": ""}
        content = base64.b64encode(bytes(row.logo)).decode()
        return {"logo": f"data:{row.logo_type};base64,{content}"}

    def shown_types(self) -> dict[str, Any]:
        return {"domain": str, "url": str}

    def shown(self, row: StatusPage) -> Values:
        return {"domain": settings.STATUS_PAGE_DOMAIN, "url": absolute_url("status-page")}

    def form_values(self, row: StatusPage | None, given: Values) -> Values:
        if given.get("reference", MAIN_PAGE) != MAIN_PAGE:
            raise InvalidConfig(
                {"reference": [f"There is one status page, with the reference {MAIN_PAGE}."]}
            )
        values = {name: value for name, value in given.items() if name != "logo"}
        if given.get("logo"):
            values["logo_file"] = SimpleUploadedFile("logo", _decode_data_url(given["logo"]))
        elif "logo" in given:
            values["remove_logo"] = True
        return values

    def member_of(self, field_name: str) -> str:
        return "logo" if field_name in ("logo_file", "remove_logo") else field_name


def _decode_data_url(url: str) -> bytes:
    """Return the content of a data URL. See https://www.rfc-editor.org/rfc/rfc2397."""
    head, comma, content = url.partition(",")
    try:
        if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
            raise ValueError("not a data URL of an image")
        return base64.b64decode("".join(content.split()), validate=True)
    except (ValueError, binascii.Error):
        text = "Enter an image as a data URL, such as data:image/png;base64,iVBOR…"
        raise InvalidConfig({"logo": [text]}) from None


@config_resource
class MaintenanceWindows(Resource):
    kind = "maintenance-windows"
    model = MaintenanceWindow
    key = "reference"
    read_scope = Scope.INCIDENTS_READ
    write_scope = Scope.INCIDENTS_WRITE

    def is_exported(self, row: MaintenanceWindow, *, now: datetime) -> bool:
        """Return False for windows that have ended."""
        return row.ends_at > now


@config_resource
class IncidentTemplates(Resource):
    kind = "incident-templates"
    model = IncidentTemplate
    key = "name"


@config_resource
class Incidents(Resource):
    """Incidents, which only the API manages, because they are records and not configuration."""

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
