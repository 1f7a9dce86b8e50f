"""Find the members (fields) of configuration objects with their types, and read their values from rows as JSON."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from graphlib import TopologicalSorter
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db import models
from django.http import HttpRequest, QueryDict
from django.utils.http import urlencode

from core.config.extension_points import Resource, Values, name_field, registry
from core.lib.forms import spell_span

Field = models.Field[Any, Any]


class _Everyone:
    """The user for whom the admin's forms are built, with all permissions, because the API has checked the caller."""

    pk = None
    is_active = is_staff = True

    def has_perm(self, permission: str, obj: object = None) -> bool:
        return True

    def has_module_perms(self, app_label: str) -> bool:
        return True


class ConfigRequest(HttpRequest):
    """The request that is passed to the admin's forms to build, validate and save them."""

    def __init__(self, **parameters: str) -> None:
        super().__init__()
        self.method = "POST"
        self.user = _Everyone()  # type: ignore[assignment]
        self.GET = QueryDict(urlencode(parameters))


def admin_of(resource: Resource) -> "ModelAdmin[Any]":
    return admin.site.get_model_admin(resource.model)


def forms_of(resource: Resource) -> Iterator[Any]:
    """Yield the classes of the admin's forms that add and change a row, for each variant."""
    for parameters, row in resource.variants():
        request = ConfigRequest(**parameters)
        yield admin_of(resource).get_form(request, None)
        yield admin_of(resource).get_form(request, row, change=True)


def formsets_of(resource: Resource) -> Iterator[Any]:
    """Yield the classes of all formsets with fields that can be edited."""
    for parameters, _ in resource.variants():
        request = ConfigRequest(**parameters)
        for formset, _ in admin_of(resource).get_formsets_with_inlines(request):
            if set(formset.form.base_fields) - {formset.fk.name}:
                yield formset


class Members:
    """The members of a kind of object, read once from the forms of its admin."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.inlines: dict[str, list[Field]] = {}
        names: dict[str, None] = {}
        for form in forms_of(resource):
            names |= dict.fromkeys(form.base_fields)
        for formset in formsets_of(resource):
            prefix = formset.get_default_prefix()
            if prefix in resource.inlines:
                self.inlines[prefix] = [
                    formset.model._meta.get_field(name)
                    for name in formset.form.base_fields
                    if name != formset.fk.name
                ]
        self.fields = list(_model_fields(resource, names))

    @property
    def names(self) -> list[str]:
        fields = [field.name for field in self.fields]
        return [*fields, *self.resource.extra_types(), *self.inlines]

    @cached_property
    def types(self) -> dict[str, Any]:
        label = self.resource.model._meta.object_name
        found = {field.name: _type_of(field) for field in self.fields}
        found |= self.resource.extra_types()
        for prefix, fields in self.inlines.items():
            row = _struct(
                f"{label}{prefix.capitalize()}Entry",
                {f.name: _type_of(f) for f in fields},
                "An entry.",
            )
            found[prefix] = list[row]  # type: ignore[valid-type]
        return found

    def prefetched(self, rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
        """Let the query load all related rows that `read` needs, in a fixed number of queries."""
        single = [f.name for f in self.fields if f.many_to_one or f.one_to_one]
        several = [f.name for f in self.fields if f.many_to_many]
        for prefix, fields in self.inlines.items():
            several += [prefix, *(f"{prefix}__{f.name}" for f in fields if f.is_relation)]
        return rows.select_related(*single).prefetch_related(*several)

    def read(self, row: Any) -> Values:
        """Return the values of all members of a row, including its secrets."""
        values = {field.name: value_of(field, row) for field in self.fields}
        values |= self.resource.extra_values(row)
        for prefix, fields in self.inlines.items():
            key = attrgetter(self.resource.inlines[prefix], "pk")
            values[prefix] = [
                {field.name: value_of(field, one) for field in fields}
                for one in sorted(getattr(row, prefix).all(), key=key)
            ]
        return values


def _model_fields(resource: Resource, names: Any) -> Iterator[Field]:
    model_fields = {f.name: f for f in resource.model._meta.get_fields()}
    key = model_fields[resource.key]
    yield key  # type: ignore[misc]
    for name in names:
        field = model_fields.get(name)
        if name in resource.left_out or field is key or not isinstance(field, models.Field):
            continue
        yield field


_members: dict[str, Members] = {}


def members_of(resource: Resource) -> Members:
    if resource.kind not in _members:
        _members[resource.kind] = Members(resource)
    return _members[resource.kind]


# --- structs -------------------------------------------------------------------------------------------
def _struct(name: str, types: Values, text: str, *, is_partial: bool = True) -> Any:
    fields = [
        (field, kind | msgspec.UnsetType, msgspec.UNSET) if is_partial else (field, kind)
        for field, kind in types.items()
    ]
    return msgspec.defstruct(
        name, fields, namespace={"__doc__": text}, forbid_unknown_fields=True, kw_only=True
    )


_given: dict[str, Any] = {}


def given_type(resource: Resource) -> Any:
    """Return the struct of an object in requests and files, in which each member may be left out."""
    if resource.kind not in _given:
        label = resource.model._meta.verbose_name
        text = f"The members of a {label}. On creation, omitted members get the default values of the admin form."
        name = f"{resource.model._meta.object_name}Members"
        _given[resource.kind] = _struct(name, members_of(resource).types, text)
    return _given[resource.kind]


def shown_type(resource: Resource) -> Any:
    """Return the struct of an object as the API shows it."""
    label = resource.model._meta.verbose_name
    types = {"id": int, **members_of(resource).types, **resource.shown_types()}
    return _struct(
        f"{resource.model._meta.object_name}Shown",
        types,
        f"A {label}. Secret texts are shown as [hidden].",
        is_partial=False,
    )


def _type_of(field: Field) -> Any:
    if field.many_to_many:
        return list[str]
    kind = _plain_type(field)
    return kind | None if field.null and kind is not Any else kind


def _plain_type(field: Field) -> Any:
    if field.choices and isinstance(field, models.CharField):
        values = [str(value) for value, _ in field.flatchoices]
        return Literal[(*([""] if field.blank else []), *values)]
    match field:
        case models.BooleanField():
            return bool
        case models.IntegerField():
            return int
        case models.FloatField():
            return float
        case models.DateTimeField():
            return Annotated[datetime, msgspec.Meta(tz=True)]
        case models.JSONField():
            return {dict: dict[str, Any], list: list[Any]}.get(field.default, Any)
    return str


# --- values --------------------------------------------------------------------------------------------
def value_of(field: Field, row: Any) -> Any:
    """Return the value of a row's field in a form that can be written as JSON."""
    if field.many_to_many:
        name = name_field(field.related_model)  # type: ignore[arg-type]
        return sorted(getattr(one, name) for one in getattr(row, field.name).all())
    if field.is_relation:
        related = getattr(row, field.name)
        return getattr(related, name_field(field.related_model)) if related else None  # type: ignore[arg-type]
    return as_json(field.value_from_object(row))


def as_json(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("seconds" if value.second else "minutes")
        case timedelta():
            return spell_span(value)
    return value


def resources_in_order() -> list[Resource]:
    """Return the resources, each after all resources that its objects refer to."""
    graph = {
        resource.kind: [*_references(resource), *resource.comes_after] for resource in registry
    }
    return [registry.get(kind) for kind in TopologicalSorter(graph).static_order()]


def _references(resource: Resource) -> list[str]:
    """Return the kinds of objects that the objects of a resource refer to."""
    members = members_of(resource)
    fields = [*members.fields, *(one for fields in members.inlines.values() for one in fields)]
    models_ = {field.related_model for field in fields if field.is_relation}
    return [
        other.kind
        for other in registry
        if any(issubclass(other.model, model) for model in models_)  # type: ignore[arg-type]
    ]
