"""Define the hook by which an app lets the API and configuration files manage the rows of a model.

    @config_resource
    class Teams(Resource):
        kind = "teams"
        model = Team
        key = "name"

The fields, their validation and the effects of saving are those of the model's admin, so that a rule exists once. The
members of an object are the fields of that form; related rows are named by their key, and editable inlines are lists.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet

from core.clients.models import ClientApp, Scope
from core.lib.app_access import limit
from core.lib.reference_field import fill_references
from core.lib.registry import Registry
from core.lib.sealed_fields import SealedJSONField, SealedTextField

Values = dict[str, Any]


class InvalidConfig(Exception):
    """An object that its form refuses: the problems by the path of the member, "" for the whole object."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = dict(problems)
        super().__init__(
            "; ".join(
                f"{path}: {text}" if path else text
                for path, texts in self.problems.items()
                for text in texts
            )
        )


class Resource:
    """A kind of objects. Subclasses override what differs from the form of the admin."""

    kind: ClassVar[str]  # Addresses and files use this name, such as "monitors".
    model: ClassVar[type[Model]]
    key: ClassVar[str]  # Files and other objects name an object by this unique field.
    # These fields and inlines of the form are not members.
    left_out: ClassVar[frozenset[str]] = frozenset()
    # The inlines of the admin's form by their prefix, each with the field that identifies a row within its object.
    inlines: ClassVar[Mapping[str, str]] = {}
    # These kinds must be written before this one, although no relation of the model requires it.
    comes_after: ClassVar[tuple[str, ...]] = ()
    read_scope: ClassVar[Scope] = Scope.CONFIG_READ
    write_scope: ClassVar[Scope] = Scope.CONFIG_WRITE
    is_in_files: ClassVar[bool] = True

    def rows(self) -> "QuerySet[Any]":
        fill_references(self.model)
        return limit(self.model._default_manager.all())

    def permission(self, verb: str) -> str:
        """Return the permission that a person needs to "view", "add", "change" or "delete" objects."""
        return f"{self.model._meta.app_label}.{verb}_{self.model._meta.model_name}"

    def is_exported(self, row: Any, *, now: datetime) -> bool:
        """Return True if `config export` writes this row."""
        return self.is_in_files

    def why_kept(self, row: Any) -> str:
        """Return why a row cannot be deleted, or "". The admin's permission is checked as well."""
        return ""

    def parameters(self, row: Any, given: Values) -> dict[str, str]:
        """Return the parameters with which the page of the form is opened, such as the kind of a new channel."""
        return {}

    def variants(self) -> list[tuple[dict[str, str], Model]]:
        """Return the parameters and an unsaved row for each form that the page has, if they differ."""
        return [({}, self.model())]

    def extra_types(self) -> dict[str, Any]:
        """Return the types of members that are not fields of the model."""
        return {}

    def extra_values(self, row: Any) -> Values:
        """Return the values of members that are not fields of the model."""
        return {}

    def shown(self, row: Any) -> Values:
        """Return what the API shows beside the members and cannot change."""
        return {}

    def shown_types(self) -> dict[str, Any]:
        return {}

    def form_values(self, row: Any, given: Values) -> Values:
        """Return the given members by the names of the form's fields. Raise InvalidConfig for members without one."""
        return given

    def member_of(self, field_name: str) -> str:
        """Return the member that a field of the form stands for."""
        return field_name

    def is_secret(self, values: Values, path: tuple[str, ...]) -> bool:
        """Return True if the text at this path is never shown. By default: everything in encrypted fields.

        The path of a text in an inline has the number of its entry: ("steps", "0", "body").
        """
        model: Any = self.model
        if path[0] in self.inlines:
            model, path = model._meta.get_field(path[0]).related_model, path[2:]
        try:
            field = model._meta.get_field(path[0])
        except FieldDoesNotExist:
            return False
        return isinstance(field, SealedJSONField | SealedTextField)


registry: Registry[Resource] = Registry("config_resources")
# Objects refer to these models, which are not resources.
_names: dict[type[Model], str] = {ClientApp: "slug", User: User.USERNAME_FIELD}


def config_resource(resource: type[Resource]) -> type[Resource]:
    registry.add(resource.kind, resource())
    return resource


def refer_by(model: type[Model], field: str) -> None:
    """Let objects refer to rows of this model by a unique field."""
    _names[model] = field


def name_field(model: type[Model]) -> str:
    """Return the field by which objects refer to rows of this model. Raises LookupError if there is none."""
    for resource in registry:
        if resource.model is model:
            return resource.key
    if model in _names:
        return _names[model]
    raise LookupError(f"no key of {model._meta.label} is registered; see refer_by()")
