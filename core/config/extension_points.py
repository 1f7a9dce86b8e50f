"""Define the hook by which an app lets the API and configuration files manage the rows of a model.

    @config_resource
    class Teams(Resource):
        kind = "teams"
        model = Team
        key = "name"

Objects are validated and saved with the form of the model's admin, so that each rule exists once. The members of an
object are the fields of that form. Related rows are named by their key, and editable inlines are lists.
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
    """An object is invalid. `problems` maps the path of each invalid member, or "" for the object, to its messages."""

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
    """A kind of object that the API and files manage. Subclasses override what differs from the admin's form."""

    kind: ClassVar[str]  # The name of the kind in URLs and files, such as "monitors".
    model: ClassVar[type[Model]]
    key: ClassVar[str]  # The unique field by which files and other objects refer to an object.
    # Fields and inlines of the admin's form that the API and files leave out.
    left_out: ClassVar[frozenset[str]] = frozenset()
    # Maps the prefix of each of the admin's inlines to the field that identifies a row within its object.
    inlines: ClassVar[Mapping[str, str]] = {}
    # Kinds whose objects must be written first, although no relation of the model requires this order.
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
        """Return why a row cannot be deleted, or "" if it can. The caller also checks the admin's permission."""
        return ""

    def parameters(self, row: Any, given: Values) -> dict[str, str]:
        """Return the query parameters of the form's page, such as the type of a new channel."""
        return {}

    def variants(self) -> list[tuple[dict[str, str], Model]]:
        """Return the query parameters and an unsaved row for each variant of the form, such as each type of channel."""
        return [({}, self.model())]

    def extra_types(self) -> dict[str, Any]:
        """Return the types of members that are not fields of the model."""
        return {}

    def extra_values(self, row: Any) -> Values:
        """Return the values of members that are not fields of the model."""
        return {}

    def shown(self, row: Any) -> Values:
        """Return further values that the API shows but cannot change."""
        return {}

    def shown_types(self) -> dict[str, Any]:
        return {}

    def form_values(self, row: Any, given: Values) -> Values:
        """Return the members by the names of the form's fields. Raises InvalidConfig for a member without a field."""
        return given

    def member_of(self, field_name: str) -> str:
        """Return the member that corresponds to a field of the form."""
        return field_name

    def is_secret(self, values: Values, path: tuple[str, ...]) -> bool:
        """Return True if the string at this path must never be shown, by default if its field is encrypted.

        The path of a string in an inline contains the number of its entry: ("steps", "0", "body").
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
# Maps models that objects refer to, but that are not resources, to the field that identifies a row.
_names: dict[type[Model], str] = {ClientApp: "slug", User: User.USERNAME_FIELD}


def config_resource(resource: type[Resource]) -> type[Resource]:
    registry.add(resource.kind, resource())
    return resource


def refer_by(model: type[Model], field: str) -> None:
    """Let objects refer to rows of this model by a unique field."""
    _names[model] = field


def name_field(model: type[Model]) -> str:
    """Return the field that identifies a row of this model for objects. Raises LookupError if there is none."""
    for resource in registry:
        if resource.model is model:
            return resource.key
    if model in _names:
        return _names[model]
    raise LookupError(f"no key of {model._meta.label} is registered; see refer_by()")
