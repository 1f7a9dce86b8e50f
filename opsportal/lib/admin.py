"""The admin's look and the bases every app's admin shares."""

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

from opsportal.lib.markup import severity, state, when


class PatientSplitDateTime(AdminSplitDateTime):
    """Django's own breaks (500) when an add form's address names an instant: `?starts_at=2026-11-22T14:00`."""

    def decompress(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = parse_datetime(value)
            except ValueError:
                value = None
        return super().decompress(value)


FORMFIELD_FOR_DBFIELD_DEFAULTS[models.DateTimeField]["widget"] = PatientSplitDateTime

PILLS: dict[str, Callable[..., SafeString]] = {
    "severity": severity,
    "state": state,
    "status": state,
    "outcome": state,
    "last_outcome": state,
}


class PortalAdmin(admin.ModelAdmin[Any]):
    """A change list in our look: severities and states as pills, instants as ages with the full time on hover."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [
            entry if entry in self.list_editable else self._shown(entry)
            for entry in super().get_list_display(request)
        ]

    def _shown(self, entry: Any) -> Any:
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
    """For rows the portal writes and people only read: no add, no change, no exact count on big tables."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class PortalAdminSite(admin.AdminSite):
    """Django's admin in our chrome: our navigation (templates/portal/_nav.html) instead of its sidebar."""

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
        """Whatever base its admin class has, every change list gets the look."""
        given = admin_class or admin.ModelAdmin
        if not issubclass(given, PortalAdmin):
            given = type(given.__name__, (PortalAdmin, given), {"__module__": given.__module__})
        super().register(model_or_iterable, given, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Django gives it to every page, for the sidebar we have not: found out only where it is shown."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))


def log_change(request: HttpRequest, changed: models.Model, message: str) -> None:
    """Keep in the object's history (and so in the audit log) what somebody did to it on a page of ours."""
    assert request.user.pk is not None
    LogEntry.objects.log_actions(
        request.user.pk, [changed], CHANGE, change_message=message, single_object=True
    )
