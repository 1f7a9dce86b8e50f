"""Declare the objects that the API and configuration files manage; see core.config.extension_points."""

from datetime import datetime
from typing import Any

from django.db.models import Model, Q

from alerts.admin.channel_form import form_field_name
from alerts.channels import TRANSPORTS
from alerts.extension_points import alert_types
from alerts.models import (
    AlertRule,
    AlertType,
    Channel,
    NotificationRule,
    Person,
    Rotation,
    Schedule,
    ScheduleOverride,
    Silence,
    Team,
)
from alerts.queries.silences import MATCHABLE_FIELDS
from core.clients.models import Scope
from core.config.extension_points import InvalidConfig, Resource, Values, config_resource

_SETTING = form_field_name("")


@config_resource
class People(Resource):
    """People who can be notified. Their notification rules are separate objects, because the rules name channels."""

    kind = "people"
    model = Person
    key = "reference"
    left_out = frozenset({"notification_rules"})


@config_resource
class Teams(Resource):
    kind = "teams"
    model = Team
    key = "name"


@config_resource
class Schedules(Resource):
    """On-call schedules. Escalation steps refer to them by name, and rotations and overrides are separate objects."""

    kind = "schedules"
    model = Schedule
    key = "name"


@config_resource
class Rotations(Resource):
    """The rotations of schedules. People take turns in the order of `members`."""

    kind = "rotations"
    model = Rotation
    key = "reference"
    inlines = {"members": "position"}


@config_resource
class Overrides(Resource):
    kind = "overrides"
    model = ScheduleOverride
    key = "reference"

    def is_exported(self, row: ScheduleOverride, *, now: datetime) -> bool:
        """Return False for overrides that have ended."""
        return row.ends_at > now


@config_resource
class NotificationRules(Resource):
    kind = "notification-rules"
    model = NotificationRule
    key = "reference"


@config_resource
class Channels(Resource):
    """Channels with the settings of their kind. The routes are part of the alert types, not of the channels."""

    kind = "channels"
    model = Channel
    key = "name"
    left_out = frozenset({"routed_types"})

    def extra_types(self) -> dict[str, Any]:
        return {"kind": str, "settings": dict[str, str]}

    def extra_values(self, row: Channel) -> Values:
        return {
            "kind": row.kind,
            "settings": {
                field.name: str(row.config[field.name])
                for field in TRANSPORTS[row.kind].fields
                if field.is_shown and row.config.get(field.name)
            },
        }

    def parameters(self, row: Channel | None, given: Values) -> dict[str, str]:
        kind = row.kind if row else given.get("kind", "")
        if kind not in TRANSPORTS:
            raise InvalidConfig({"kind": [f"Enter one of {', '.join(sorted(TRANSPORTS))}."]})
        return {"kind": kind}

    def variants(self) -> list[tuple[dict[str, str], Model]]:
        return [({"kind": kind}, Channel(kind=kind)) for kind in TRANSPORTS]

    def form_values(self, row: Channel | None, given: Values) -> Values:
        if row and given.get("kind", row.kind) != row.kind:
            raise InvalidConfig({"kind": ["The kind of a channel cannot be changed."]})
        kind = self.parameters(row, given)["kind"]
        values = {name: value for name, value in given.items() if name not in ("kind", "settings")}
        if "settings" in given:
            names = [field.name for field in TRANSPORTS[kind].fields if field.is_shown]
            if unknown := given["settings"].keys() - set(names):
                known = ", ".join(names)
                raise InvalidConfig(
                    {
                        f"settings.{name}": [f"Unknown; {kind} has the settings {known}."]
                        for name in unknown
                    }
                )
            values |= {form_field_name(name): given["settings"].get(name, "") for name in names}
        return values

    def member_of(self, field_name: str) -> str:
        if field_name.startswith(_SETTING):
            return f"settings.{field_name.removeprefix(_SETTING)}"
        return field_name

    def is_secret(self, values: Values, path: tuple[str, ...]) -> bool:
        if path[0] != "settings" or values.get("kind") not in TRANSPORTS:
            return False
        fields = TRANSPORTS[values["kind"]].fields
        return any(field.is_secret for field in fields if field.name == path[-1])


@config_resource
class Types(Resource):
    kind = "types"
    model = AlertType
    key = "slug"
    inlines = {"steps": "after"}

    def why_kept(self, row: AlertType) -> str:
        if row.slug in alert_types:
            return "it is part of the portal"
        used_by = AlertRule.objects.filter(alert_type=row.slug).first()
        return f"the rule “{used_by}” has this type" if used_by else ""


@config_resource
class Rules(Resource):
    kind = "rules"
    model = AlertRule
    key = "name"
    comes_after = ("types",)

    def shown_types(self) -> dict[str, Any]:
        return {"last_value": float | None, "last_error": str}

    def shown(self, row: AlertRule) -> Values:
        return {"last_value": row.last_value, "last_error": row.last_error}


@config_resource
class Silences(Resource):
    kind = "silences"
    model = Silence
    key = "reference"
    read_scope = Scope.INCIDENTS_READ
    write_scope = Scope.INCIDENTS_WRITE

    def is_exported(self, row: Silence, *, now: datetime) -> bool:
        """Return False for silences that have ended."""
        is_current = Q(ends_at__gt=now) | ~Q(recurrence="once") & (Q(until=None) | Q(until__gt=now))
        return Silence.objects.filter(is_current, pk=row.pk).exists()

    def form_values(self, row: Silence | None, given: Values) -> Values:
        matchers = given.get("matchers", {})
        problems = {}
        for name, value in matchers.items():
            if name not in MATCHABLE_FIELDS:
                problems[f"matchers.{name}"] = [f"Use one of {', '.join(MATCHABLE_FIELDS)}."]
            elif not isinstance(value, str):
                problems[f"matchers.{name}"] = ["Enter a string."]
        if problems:
            raise InvalidConfig(problems)
        return given
