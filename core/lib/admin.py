"""Define the base classes of all apps' admin modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import unquote
from django.core.exceptions import NON_FIELD_ERRORS, FieldDoesNotExist
from django.db import models
from django.http import HttpRequest, HttpResponseForbidden, HttpResponseNotFound, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.text import capfirst

from core.lib import app_access, formats
from core.lib.admin_fields import PILLS, make_column, plain_field, readable, yes_or_no
from core.lib.form_check import find_field_errors, is_form_check
from core.lib.markup import when


class _PortalForm:
    """A form whose labels have no colon. It shows the message of a violated constraint at the field to correct."""

    constraint_messages: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def add_error(self, field: str | None, error: Any) -> None:
        """Move the messages of constraints to their fields. Django would show them above the form."""
        by_field = getattr(error, "error_dict", None)
        if field or by_field is None:
            super().add_error(field, error)  # type: ignore[misc]
            return
        form: Any = self
        constraints = form._meta.model._meta.constraints
        names = {one.get_violation_error_message(): one.name for one in constraints}
        for one in by_field.pop(NON_FIELD_ERRORS, ()):
            known = self.constraint_messages.get(names.get(" ".join(one.messages), ""))
            super().add_error(*(known or (None, one)))  # type: ignore[misc]
        if by_field:
            super().add_error(None, error)  # type: ignore[misc]


class _Labeled:
    """A mixin that derives the labels of fields from their names. `field_labels` contains the exceptions."""

    field_labels: ClassVar[Mapping[str, str]] = {}
    field_help: ClassVar[Mapping[str, str]] = {}
    # Maps each constraint that users can violate to the field to correct and the message.
    constraint_messages: ClassVar[Mapping[str, tuple[str, str]]] = {}
    model: type[models.Model]

    def label_of(self, field: models.Field[Any, Any]) -> str:
        return self.field_labels.get(field.name) or readable(str(field.verbose_name))

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        """Offer only rows of apps that the user may see."""
        rows = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        if app_access.sees_every_app():
            return rows
        if rows is None:
            rows = db_field.remote_field.model._default_manager.using(db)
        return app_access.limit(rows)

    def _form_texts(self, form: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        own = getattr(form, "_meta", None)
        labels = {
            field.name: capfirst(self.label_of(field))
            for field in self.model._meta.get_fields()
            if isinstance(field, models.Field)
        }
        kwargs.setdefault("labels", {**labels, **(getattr(own, "labels", None) or {})})
        kwargs.setdefault(
            "help_texts", {**(getattr(own, "help_texts", None) or {}), **self.field_help}
        )
        return kwargs

    def _portal_form(self, form: type[Any]) -> type[Any]:
        messages = {"constraint_messages": self.constraint_messages}
        return type(form.__name__, (_PortalForm, form), messages)


class VisibleRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by a related row, which offers only rows of apps that the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        apps = app_access.apps_of_reader()
        condition = None
        if apps is not None:
            condition = app_access.condition_of(field.remote_field.model, apps)
        if condition is None:
            return super().field_choices(field, request, model_admin)
        ordering = self.field_admin_ordering(field, request, model_admin)
        return field.get_choices(include_blank=False, ordering=ordering, limit_choices_to=condition)


admin.FieldListFilter.register(
    lambda field: bool(field.remote_field), VisibleRelatedFilter, take_priority=True
)


class Section(StrEnum):
    """The sections of the settings page, one for each task of the portal's owners."""

    APPS = "Apps"
    PEOPLE = "People and access"
    ALERTING = "Alerting"
    MONITORING = "Monitoring"
    STATUS_PAGE = "Status page"
    BUSINESS = "Payments and reservations"
    PORTAL = "Portal"


@dataclass(frozen=True)
class SettingLink:
    """A link on the settings page to a page that is not a list of the admin."""

    title: str
    purpose: str
    url_name: str
    permission: str = ""


@dataclass(frozen=True)
class Tool:
    """A link beside a form's heading. The link opens a page about the row that the form edits."""

    label: str
    url: str


class PortalAdmin(_Labeled, admin.ModelAdmin[Any]):
    """The base class of all model admins.

    It adds readable labels, status pills, relative times and an entry on the settings page.
    """

    section: ClassVar[Section] = Section.PORTAL
    # The title on the settings page and of the list; "" stands for the model's plural name.
    setting_title: ClassVar[str] = ""
    # The word for one row; "" stands for the model's name.
    row_name: ClassVar[str] = ""
    # If True, there is at most one row, which the settings page links to instead of a list.
    is_single: ClassVar[bool] = False
    setting_purpose: ClassVar[str] = ""
    is_listed: ClassVar[bool] = True  # If True, the settings page lists this model.
    # If True, the settings page shows an "Add" link beside the title.
    offers_add: ClassVar[bool] = True
    more_links: ClassVar[tuple[SettingLink, ...]] = ()

    def message_user(
        self,
        request: HttpRequest,
        message: Any,
        level: int | str = messages.INFO,
        extra_tags: str = "",
        fail_silently: bool = True,
    ) -> None:
        """Show a message on the next page. Drop it for the configuration API, whose requests have no next page."""
        super().message_user(request, message, level, extra_tags, fail_silently)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        if place_field := getattr(formset, "place_field", ""):
            _separate_places(formset, place_field)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return app_access.limit(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [
            entry if entry in self.list_editable else self._styled(entry)
            for entry in super().get_list_display(request)
        ]

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Label the inputs of a list for screen readers, because the list shows only the headings of its columns."""
        formset = super().get_changelist_formset(request, **kwargs)
        for name in self.list_editable:
            field = self.model._meta.get_field(name)
            assert isinstance(field, models.Field)
            label = capfirst(self.label_of(field))
            formset.form.base_fields[name].widget.attrs["aria-label"] = label
        return formset

    def _styled(self, entry: Any) -> Any:
        if not isinstance(entry, str) or hasattr(self, entry):
            return entry
        try:
            field = self.model._meta.get_field(entry)
        except FieldDoesNotExist:
            return entry
        if not isinstance(field, models.Field):
            return entry
        label = self.label_of(field)
        if entry in PILLS and isinstance(field, models.CharField):
            return make_column(field, PILLS[entry], label)
        if isinstance(field, models.DateTimeField):
            return make_column(field, when, label)
        if isinstance(field, models.BooleanField):
            return make_column(field, yes_or_no, label)
        if field.choices or field.is_relation or field.primary_key:
            return entry
        if isinstance(field, models.IntegerField | models.FloatField):
            return make_column(field, formats.number, label, is_number=True)
        if isinstance(field, models.CharField) and label != field.verbose_name:
            return make_column(field, str, label)
        return entry

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        return plain_field(super().formfield_for_dbfield(db_field, request, **kwargs))

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs = self._form_texts(kwargs.get("form", self.form), kwargs)
        form = super().get_form(request, obj, change=change, **kwargs)
        return self._portal_form(form)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or save the form, or only validate it while a user fills it in."""
        if is_form_check(request):
            return self._check_form(request, object_id)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save related rows. Keep relations to apps that the form does not offer because the user may not see them."""
        hidden = self._hidden_related(form.instance) if change else {}
        super().save_related(request, form, formsets, change)
        for name, rows in hidden.items():
            getattr(form.instance, name).add(*rows)

    def _hidden_related(self, row: Any) -> dict[str, list[Any]]:
        if app_access.sees_every_app():
            return {}
        return {
            field.name: list(related.exclude(pk__in=app_access.limit(related.all())))
            for field in self.model._meta.many_to_many
            for related in (getattr(row, field.name),)
        }

    @property
    def plural_name(self) -> str:
        """Return the title of the list, which is the same on the settings page."""
        return self.setting_title or capfirst(str(self.opts.verbose_name_plural))

    @property
    def singular_name(self) -> str:
        return self.row_name or str(self.opts.verbose_name)

    def list_tools(self, request: HttpRequest, obj: Any) -> list[Tool]:
        """Return links to show beside the heading of a row's form."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if kwargs.get("obj") is not None:
            context["tools"] = self.list_tools(request, kwargs["obj"])
        elif kwargs.get("add"):
            context["title"] = f"Add {self.singular_name}"
        if self.is_single:
            context |= {"title": self.plural_name, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def _check_form(self, request: HttpRequest, object_id: str | None) -> HttpResponseBase:
        row = self.get_object(request, unquote(object_id)) if object_id else None
        if object_id and row is None:
            return HttpResponseNotFound()
        may_save = (
            self.has_change_permission(request, row) if row else self.has_add_permission(request)
        )
        if not may_save:
            return HttpResponseForbidden()
        return JsonResponse({"errors": find_field_errors(self, request, row)})


class PortalInline(_Labeled, admin.TabularInline[Any, Any]):
    """An inline form for rows of another table, with readable column headings."""

    # The field with a row's place (1, 2, 3 …) among the rows of its object. If two rows share a place when the object
    # is saved, all rows are numbered again; of rows with the same place, the older one comes first.
    place_field: ClassVar[str] = ""

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **self._form_texts(self.form, kwargs))
        setattr(formset, "place_field", self.place_field)  # noqa: B010 - read in save_formset
        formset.form = self._portal_form(formset.form)
        # The default template shows headings instead of labels, so inputs need a label for screen readers.
        if self.template == PortalInline.template:
            for field in formset.form.base_fields.values():
                if not isinstance(field.widget, forms.MultiWidget):
                    field.widget.attrs.setdefault("aria-label", field.label)
        return formset

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        return plain_field(super().formfield_for_dbfield(db_field, request, **kwargs))


def _separate_places(formset: Any, field: str) -> None:
    """Renumber the rows of an inline as 1, 2, 3 and so on if two of them have the same place."""
    rows = formset.model._default_manager.filter(**{formset.fk.name: formset.instance})
    places = list(rows.order_by(field, "pk").values_list("pk", field))
    if len({place for _, place in places}) == len(places):
        return
    for place, (pk, former) in enumerate(places, start=1):
        if place != former:
            rows.filter(pk=pk).update(**{field: place})


class LogAdmin(PortalAdmin):
    """An admin for rows that only the portal adds and changes. It shows no full count, which is slow on big tables."""

    show_full_result_count = False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the fields of a read-only row as the list shows them, such as timestamps as relative times."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [
            (name, {**options, "fields": [self._styled(field) for field in options["fields"]]})
            for name, options in fieldsets
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def log_change(request: HttpRequest, changed: models.Model, message: str) -> None:
    """Record a change by the signed-in user in the object's admin history, from which the audit log copies it."""
    assert request.user.pk is not None
    LogEntry.objects.log_actions(
        request.user.pk, [changed], CHANGE, change_message=message, single_object=True
    )
