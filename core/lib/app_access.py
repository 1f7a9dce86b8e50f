"""Limit a person to certain apps, by one rule for all pages, lists, searches, exports, APIs and messages.

A person sees every app, unless a team of theirs is limited to some apps or their role is limited to team apps. Owners
see every app in any case. Rows that belong to no app, such as a monitor of the portal's own network, are shared by
everyone.

A request sets the reader with `reading_as`. Queries of pages and of the API limit their rows with `limit`, which
follows the relations of a model to its app. The portal's own work, such as evaluating rules, has no reader and is
therefore not limited; if a request does such work, it uses `reading_as(None)`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import cache, cached_property
from typing import Any, TypeVar

from django.db.models import ForeignKey, Model, Q, QuerySet

from core.lib.registry import Registry

# Owners have both of these permissions through their role. If a person has both, SEE_EVERY_APP applies.
SEE_EVERY_APP = "clients.see_every_app"
SEE_TEAM_APPS_ONLY = "clients.see_team_apps_only"

APP_MODEL = "clients.clientapp"
_MAX_STEPS = 3  # Longer chains of relations from a row to its app are not followed.

Rows = TypeVar("Rows", bound="QuerySet[Any]")
Apps = frozenset[int]

TeamApps = Callable[[Any], Iterable[int]]
team_apps: Registry[TeamApps] = Registry("team_apps")


def team_app_source(name: str) -> Callable[[TeamApps], TeamApps]:
    """Register a function that returns the ids of the apps of a user's teams, or none if no team is limited to apps.

    Example::

        @team_app_source("shop.crews")
        def apps_of_crews(user: User) -> Iterable[int]:
            return Crew.objects.filter(members=user).values_list("apps", flat=True)
    """
    return team_apps.decorator(name, lambda function: function)


def visible_apps(user: Any) -> Apps | None:
    """Return the ids of the apps that a user may see, or None for all apps, including future ones.

    For a visitor who is not signed in, return None.
    """
    if not user.is_authenticated or user.has_perm(SEE_EVERY_APP):
        return None
    granted = frozenset(app for source in team_apps for app in source(user))
    return granted if granted or user.has_perm(SEE_TEAM_APPS_ONLY) else None


# --- the reader of a request -------------------------------------------------------------------------


class _Reader:
    """The user for whom data is read. The user's apps are looked up once, when a query first needs them."""

    def __init__(self, load_user: Callable[[], Any]) -> None:
        self.load_user = load_user

    @cached_property
    def apps(self) -> Apps | None:
        return visible_apps(self.load_user())


_reader: ContextVar[_Reader | None] = ContextVar("app_access_reader", default=None)


@contextmanager
def reading_as(load_user: Callable[[], Any] | None) -> Iterator[None]:
    """Limit queries to the apps of the user that `load_user` returns when needed. With None, do not limit them."""
    token = _reader.set(None if load_user is None else _Reader(load_user))
    try:
        yield
    finally:
        _reader.reset(token)


def apps_of_reader() -> Apps | None:
    """Return the ids of the apps that the reader may see, or None for all apps or without a reader."""
    reader = _reader.get()
    return None if reader is None else reader.apps


def user_of_reader() -> Any:
    """Return the user for whom data is read, or None without a reader."""
    reader = _reader.get()
    return None if reader is None else reader.load_user()


def sees_every_app() -> bool:
    return apps_of_reader() is None


def in_same_context(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Return the parts of a streaming response, each generated for the current reader.

    A streaming response is generated after the view has returned, when the request's reader would no longer be set.
    """
    return _parts(copy_context(), iter(parts))


def _parts(context: Context, parts: Iterator[bytes]) -> Iterator[bytes]:
    while (part := context.run(next, parts, None)) is not None:
        yield part


# --- the limit --------------------------------------------------------------------------------------


def limit(rows: Rows) -> Rows:
    """Return the rows that belong to an app that the reader may see, or to no app."""
    apps = apps_of_reader()
    condition = None if apps is None else condition_of(rows.model, apps)
    return rows if condition is None else rows.filter(condition)


def may_see(row: Model) -> bool:
    """Return True if the reader may see this row. The row must be stored."""
    apps = apps_of_reader()
    condition = None if apps is None else condition_of(type(row), apps)
    if condition is None:
        return True
    return type(row)._default_manager.filter(condition, pk=row.pk).exists()


def condition_of(model: type[Model], apps: Apps) -> Q | None:
    """Return the condition for rows of these apps and rows without an app, or None if the model's rows have no app.

    Everyone sees rows without an app. If an earlier relation in the chain to the app is empty, the row belongs to an
    unknown app and the condition excludes it: for example, an event of a payment that was made elsewhere.
    """
    if _has_own_condition(model):
        return _own_condition(model, apps)
    path, owner = path_to_app(model)
    if owner is None:
        return None
    if _has_own_condition(owner):
        owners = owner._default_manager.filter(_own_condition(owner, apps))
        return _or_empty(model, path, Q(**{f"{path}__in": owners.values("pk")}))
    return _or_empty(model, path, Q(**{f"{path}__in": apps}))


def _or_empty(model: type[Model], path: str, condition: Q) -> Q:
    """Extend the condition to rows for which only the last relation of the path is empty."""
    before, _, last = path.rpartition("__")
    at = model
    for name in before.split("__") if before else ():
        at = at._meta.get_field(name).related_model  # type: ignore[assignment]
    if last == "pk" or not at._meta.get_field(last).null:
        return condition
    is_empty = Q(**{f"{path}__isnull": True})
    return condition | (is_empty & Q(**{f"{before}__isnull": False}) if before else is_empty)


def _has_own_condition(model: type[Model]) -> bool:
    return "app_condition" in model.__dict__


def _own_condition(model: Any, apps: Apps) -> Q:
    """Return the result of the model's class method `app_condition(apps)`, for conditions beyond simple relations."""
    condition: Q = model.app_condition(apps)
    return condition


@cache
def path_to_app(model: type[Model]) -> tuple[str, type[Model] | None]:
    """Return the shortest chain of relations from a model to its app, such as "payment__app", and its last model.

    The last model is the app or a model with a condition of its own. Without a chain, the result is ("", None).
    """
    if model._meta.label_lower == APP_MODEL:
        return "pk", model
    level: list[tuple[str, type[Model]]] = [("", model)]
    for _ in range(_MAX_STEPS):
        following = [
            (f"{path}__{field.name}" if path else field.name, field.related_model)
            for path, at in level
            for field in _relations(at)
        ]
        for is_end in (_is_app, _has_own_condition):
            for path, target in following:
                if is_end(target):
                    return path, target
        level = following
    return "", None


def _is_app(model: type[Model]) -> bool:
    return model._meta.label_lower == APP_MODEL


def _relations(model: type[Model]) -> list[Any]:
    """Return the relations of a model that can lead to its app: all but those to the model itself and to users."""
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, ForeignKey)
        and field.related_model is not model
        and field.related_model._meta.app_label not in ("auth", "contenttypes")
    ]
