"""Create, change and delete single objects, with a record in the audit log."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from core.accounts.services import audit
from core.config import secrets
from core.config.binding import save_with_form
from core.config.comparing import list_differences, with_positions
from core.config.extension_points import InvalidConfig, Resource, Values
from core.config.values import ConfigRequest, admin_of, members_of


class KeyTaken(Exception):
    """Another object has the same key."""


class CannotDelete(Exception):
    """The object is built in, or other objects refer to it."""


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True)
class Change:
    """The result of writing an object. `differences` has the former and the new value of each changed member."""

    resource: Resource
    name: str
    action: Action
    row: Any
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class _Unchanged(Exception):
    pass


def create(resource: Resource, given: Values, *, by: str) -> Change:
    """Create an object. Raises InvalidConfig if it is not valid, and KeyTaken if its key is in use."""
    name = given.get(resource.key)
    if name and _exists(resource, name):
        raise KeyTaken(f"another {_label(resource)} has the {resource.key} “{name}”")
    given = secrets.restore(resource, with_positions(resource, given), {})
    try:
        with transaction.atomic():
            row = save_with_form(resource, None, _without_defaults(resource, given))
            change = _created(resource, row)
            _record(change, by)
    except IntegrityError as error:
        raise KeyTaken(f"another {_label(resource)} has the same key") from error
    return change


def _created(resource: Resource, row: Any) -> Change:
    values = _read_again(resource, row.pk)
    shown = secrets.hide(resource, values)
    return Change(
        resource,
        str(values[resource.key]),
        Action.CREATE,
        row,
        {name: (None, value) for name, value in shown.items()},
    )


def update(resource: Resource, row: Any, given: Values, *, by: str) -> Change:
    """Change the given members of an object if their values differ.

    Raises InvalidConfig if the result is not valid, and KeyTaken if the new key is in use.
    """
    before = members_of(resource).read(row)
    name = str(before[resource.key])
    given = secrets.restore(resource, with_positions(resource, given), before)
    wanted = {member: given[member] for member in list_differences(resource, given, before)}
    if not wanted:
        return Change(resource, name, Action.KEEP, row)
    differences: dict[str, tuple[Any, Any]] = {}
    try:
        with transaction.atomic():
            locked = resource.model._default_manager.select_for_update().get(pk=row.pk)
            save_with_form(resource, locked, wanted)
            after = _read_again(resource, row.pk)
            for member in before:
                if before[member] != after[member]:
                    differences[member] = _shown_difference(resource, member, before, after)
            if not differences:  # Only the notation differed, as in 900 s and 15 min.
                raise _Unchanged
            change = Change(resource, str(after[resource.key]), Action.UPDATE, locked, differences)
            _record(change, by)
    except _Unchanged:
        return Change(resource, name, Action.KEEP, row)
    except IntegrityError as error:
        raise KeyTaken(f"another {_label(resource)} has the same key") from error
    return change


def _shown_difference(
    resource: Resource, member: str, before: Values, after: Values
) -> tuple[Any, Any]:
    old, new = secrets.hide(resource, before)[member], secrets.hide(resource, after)[member]
    return (old, new) if old != new else (old, "[changed secret]")


def delete(resource: Resource, row: Any, *, by: str) -> Change:
    """Delete an object. Raises CannotDelete if the object is built in or other objects refer to it."""
    name = str(getattr(row, resource.key))
    request, model_admin = ConfigRequest(), admin_of(resource)
    reason = resource.why_kept(row)
    if not reason and not model_admin.has_delete_permission(request, row):
        reason = "it is part of the portal; disable it instead"
    if reason:
        raise CannotDelete(f"the {_label(resource)} “{name}” cannot be deleted: {reason}")
    change = Change(resource, name, Action.DELETE, row)
    try:
        with transaction.atomic():
            _record(change, by)
            model_admin.delete_model(request, row)
    except ProtectedError as error:
        raise CannotDelete(f"other objects need the {_label(resource)} “{name}”") from error
    return change


def _exists(resource: Resource, name: Any) -> bool:
    return resource.rows().filter(**{resource.key: name}).exists()


def _read_again(resource: Resource, pk: Any) -> Values:
    members = members_of(resource)
    return members.read(members.prefetched(resource.model._default_manager.all()).get(pk=pk))


def _without_defaults(resource: Resource, given: Values) -> Values:
    """Return `given` without members that equal the model's default and have no field, which the form would refuse."""
    row = resource.model()
    defaults = {
        f.name: [] if f.many_to_many else f.value_from_object(row)
        for f in members_of(resource).fields
        if f.many_to_many or not f.is_relation
    }
    form = admin_of(resource).get_form(ConfigRequest(**resource.parameters(None, given)), None)
    return {
        member: value
        for member, value in given.items()
        if member in form.base_fields or member not in defaults or value != defaults[member]
    }


def _label(resource: Resource) -> str:
    return str(resource.model._meta.verbose_name)


_VERBS = {Action.CREATE: "added", Action.UPDATE: "changed", Action.DELETE: "deleted"}


def _record(change: Change, by: str) -> None:
    """Record a change in the audit log. Like the admin, record the names of the members, but not their values."""
    meta = change.resource.model._meta
    detail = by
    if change.action is Action.UPDATE:
        labels = [name.replace("_", " ").capitalize() for name in change.differences]
        named = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
        detail = f"Changed {named}. {by}"
    audit.record(
        None,
        f"{meta.label_lower} {_VERBS[change.action]}",
        target=f"{meta.model_name} {change.row.pk}",
        detail=detail,
    )


__all__ = [
    "Action",
    "CannotDelete",
    "Change",
    "InvalidConfig",
    "KeyTaken",
    "create",
    "delete",
    "update",
]
