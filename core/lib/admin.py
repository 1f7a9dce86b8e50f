"""The appearance of the Django admin and the base classes that all apps' admin modules share."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import FORMFIELD_FOR_DBFIELD_DEFAULTS
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString

from core.lib.markup import severity, state, when


class LenientSplitDateTime(AdminSplitDateTime):
    """A widget that accepts an initial timestamp as text, as in an add form's URL: `?starts_at=2026-11-22T14:00`.

    Django's own widget raises an exception for it, which clients see as a 500.
    """

    def decompress(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = parse_datetime(value)
            except ValueError:
                value = None
        return super().decompress(value)


FORMFIELD_FOR_DBFIELD_DEFAULTS[models.DateTimeField]["widget"] = LenientSplitDateTime

PILLS: dict[str, Callable[..., SafeString]] = {
    "severity": severity,
    "state": state,
    "status": state,
    "outcome": state,
    "last_outcome": state,
}


class PortalAdmin(admin.ModelAdmin[Any]):
    """An admin whose change list shows severities and states as pills, and timestamps as ages."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [
            entry if entry in self.list_editable else self._styled(entry)
            for entry in super().get_list_display(request)
        ]

    def _styled(self, entry: Any) -> Any:
        if not isinstance(entry, str) or hasattr(self, entry):
            return entry
        try:
            field = self.model._meta.get_field(entry)
        except FieldDoesNotExist:
            return entry
        if entry in PILLS and isinstance(field, models.CharField):
            return _column(field, PILLS[entry])
        return _column(field, when) if isinstance(field, models.DateTimeField) else entry


def _column(field: models.Field[Any, Any], show: Callable[..., SafeString]) -> Callable[..., str]:
    def column(row: models.Model) -> SafeString | str:
        value = getattr(row, field.name)
        return show(value) if value else ""

    column.__name__ = field.name
    described = admin.display(description=field.verbose_name, ordering=field.name)
    return described(column)


class LogAdmin(PortalAdmin):
    """A read-only admin for rows that only the portal writes, without an exact count, which is slow on big tables."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class PortalAdminSite(admin.AdminSite):
    """Django's admin site with the portal's navigation (templates/portal/_nav.html) instead of Django's sidebar."""

    site_title = "opsportal"
    site_header = "opsportal"
    index_title = "All records and settings"
    enable_nav_sidebar = False

    def register(
        self,
        model_or_iterable: Any,
        admin_class: type[admin.ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register models, and mix PortalAdmin into admin classes of other packages."""
        styled = admin_class or admin.ModelAdmin
        if not issubclass(styled, PortalAdmin):
            styled = type(styled.__name__, (PortalAdmin, styled), {"__module__": styled.__module__})
        super().register(model_or_iterable, styled, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Return the list lazily: Django puts it into every page's context, but only the index shows it."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))


def log_change(request: HttpRequest, changed: models.Model, message: str) -> None:
    """Record what the signed-in user did to an object in its admin history and, through that, in the audit log."""
    assert request.user.pk is not None
    LogEntry.objects.log_actions(
        request.user.pk, [changed], CHANGE, change_message=message, single_object=True
    )
