"""Validate and save an object with the form of its admin."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.dateparse import parse_datetime

from core.config.extension_points import InvalidConfig, Resource, Values, name_field
from core.config.values import ConfigRequest, admin_of
from core.lib.forms import parse_span

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def save_with_form(resource: Resource, row: Any, given: Values) -> Any:
    """Change `row`, or create one if it is None, and return the row. Raises InvalidConfig if its form is invalid.

    Members that `given` leaves out keep their values or, in a new row, get the form's defaults.
    """
    with timezone.override(UTC):
        return _Form(resource, row, given).save()


class _Form:
    def __init__(self, resource: Resource, row: Any, given: Values) -> None:
        self.resource, self.row = resource, row
        self.is_change = row is not None
        self.problems: dict[str, list[str]] = {}
        self.request = ConfigRequest(**resource.parameters(row, given))
        self.admin = admin_of(resource)
        inlines = {name: given.pop(name) for name in list(given) if name in resource.inlines}
        self.key = given.get(resource.key)
        self.form = self._bind(given)
        self.formsets = list(self._bind_inlines(inlines))

    def _bind(self, given: Values) -> Any:
        form_class = self.admin.get_form(self.request, self.row, change=self.is_change)
        initial = {} if self.is_change else self.admin.get_changeform_initial_data(self.request)
        blank = form_class(instance=self.row, initial=initial)
        wanted = self.resource.form_values(self.row, given)
        for name in wanted.keys() - blank.fields.keys() - {self.resource.key}:
            self.problems[self.resource.member_of(name)] = ["This member cannot be changed."]
        data: Values = {}
        for name, field in blank.fields.items():
            member = self.resource.member_of(name)
            self._put(
                data, field, blank.add_prefix(name), _initial(blank, name), wanted, name, member
            )
        files = {name: [value] for name, value in data.items() if isinstance(value, UploadedFile)}
        form = form_class(data, MultiValueDict(files), instance=self.row, initial=initial)
        if self.resource.key not in form.fields and not self.is_change:
            self._set_key(form.instance)
        return form

    def _set_key(self, row: models.Model) -> None:
        field: Any = self.resource.model._meta.get_field(self.resource.key)
        if self.key is not None:
            try:
                setattr(row, field.name, field.clean(self.key, row))
            except forms.ValidationError as error:
                self.problems[field.name] = error.messages

    def _bind_inlines(self, given: Values) -> Iterator[Any]:
        for formset_class, inline in self.admin.get_formsets_with_inlines(self.request, self.row):
            prefix = formset_class.get_default_prefix()
            if prefix not in self.resource.inlines:
                continue
            rows = inline.get_queryset(self.request).none()
            if self.row is not None:
                rows = inline.get_queryset(self.request).filter(**{formset_class.fk.name: self.row})
            data = self._inline_data(formset_class, prefix, list(rows), given.get(prefix))
            yield formset_class(data, {}, instance=self.form.instance, prefix=prefix, queryset=rows)

    def _inline_data(
        self, formset_class: Any, prefix: str, existing: list[Any], given: list[Values] | None
    ) -> Values:
        """Return the POST data by which a formset saves the `given` rows and deletes all other rows.

        Rows are matched by their key. If `given` is None, all existing rows are kept.
        """
        key = formset_class.model._meta.get_field(self.resource.inlines[prefix])
        kept = {getattr(one, key.name): one for one in existing}
        data: Values = {}
        wanted: dict[Any, tuple[str, Values]] = {}
        new: list[tuple[str, Values]] = []
        for number, one in enumerate(given or ()):
            where = f"{prefix}[{number}]"
            value = _python_value(key, one.get(key.name))
            if value in wanted:
                self.problems[f"{where}.{key.name}"] = ["Another entry has the same value."]
            elif value in kept:
                wanted[value] = (where, one)
            else:
                new.append((where, one))
        for number, row in enumerate(existing):
            where, one = wanted.get(getattr(row, key.name), ("", {}))
            self._put_row(data, formset_class, prefix, number, row, one, where)
            data[f"{prefix}-{number}-{row._meta.pk.name}"] = row.pk
            data[f"{prefix}-{number}-DELETE"] = given is not None and not where
        for number, (where, one) in enumerate(new, start=len(existing)):
            self._put_row(data, formset_class, prefix, number, None, one, where)
        data[f"{prefix}-TOTAL_FORMS"] = len(existing) + len(new)
        data[f"{prefix}-INITIAL_FORMS"] = len(existing)
        return data

    def _put_row(
        self,
        data: Values,
        formset_class: Any,
        prefix: str,
        number: int,
        row: Any,
        given: Values,
        where: str,
    ) -> None:
        blank = formset_class.form(instance=row, prefix=f"{prefix}-{number}")
        for name, field in blank.fields.items():
            if name == formset_class.fk.name:
                continue
            self._put(
                data,
                field,
                blank.add_prefix(name),
                _initial(blank, name),
                given,
                name,
                f"{where}.{name}",
            )

    def _put(
        self,
        data: Values,
        field: forms.Field,
        html_name: str,
        initial: Any,
        given: Values,
        name: str,
        member: str,
    ) -> None:
        """Add a field's given value, or else its initial value, to the form data as a browser would send it."""
        value = initial
        if name in given:
            try:
                value = _form_value(field, given[name])
            except forms.ValidationError as error:
                self.problems[member] = error.messages
        value = field.prepare_value(value)
        if isinstance(field.widget, forms.MultiWidget):
            widget: Any = field.widget
            for suffix, part in zip(widget.widgets_names, widget.decompress(value), strict=True):
                data[html_name + suffix] = part
        else:
            data[html_name] = value

    def save(self) -> Any:
        is_valid = self.form.is_valid() and all(one.is_valid() for one in self.formsets)
        for name, texts in self.form.errors.items():
            self.problems.setdefault(
                "" if name == NON_FIELD_ERRORS else self.resource.member_of(name),
                [str(text) for text in texts],
            )
        for formset in self.formsets:
            self._collect(formset)
        if self.problems or not is_valid:
            raise InvalidConfig(self.problems)
        row = self.admin.save_form(self.request, self.form, change=self.is_change)
        self.admin.save_model(self.request, row, self.form, change=self.is_change)
        self.admin.save_related(self.request, self.form, self.formsets, change=self.is_change)
        return row

    def _collect(self, formset: Any) -> None:
        texts = [str(text) for text in formset.non_form_errors()]
        if texts:
            self.problems[formset.prefix] = texts
        for number, errors in enumerate(formset.errors):
            for name, messages in errors.items():
                where = f"{formset.prefix}[{number}]"
                path = where if name == NON_FIELD_ERRORS else f"{where}.{name}"
                self.problems.setdefault(path, [str(text) for text in messages])


def _initial(blank: Any, name: str) -> Any:
    value = blank.initial.get(name, blank.fields[name].initial)
    return value() if callable(value) else value


def _form_value(field: forms.Field, value: Any) -> Any:
    """Convert a JSON value to a Python value that `field` accepts as its initial value."""
    if isinstance(field, forms.ModelMultipleChoiceField):
        return _find(field.queryset, value)
    if isinstance(field, forms.ModelChoiceField):
        return _find(field.queryset, [value])[0] if value not in (None, "") else None
    if isinstance(field, forms.SplitDateTimeField | forms.DateTimeField) and isinstance(value, str):
        return _timestamp(value)
    return value


def _find(rows: Any, names: list[str]) -> list[Any]:
    name = name_field(rows.model)
    found = {
        getattr(row, name): row.pk
        for row in rows.model._default_manager.filter(**{f"{name}__in": names})
    }
    if missing := [f"“{one}”" for one in names if one not in found]:
        label = rows.model._meta.verbose_name
        raise forms.ValidationError(f"There is no {label} with the {name} {', '.join(missing)}.")
    return [found[one] for one in names]


def _timestamp(value: str) -> datetime | None:
    if not value:
        return None
    try:
        found = parse_datetime(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise forms.ValidationError(
            "Enter a timestamp with its zone, such as 2026-11-22T14:00:00Z."
        )
    try:
        found = found.astimezone(UTC)
    except OverflowError:
        found = _LAST
    if not _FIRST <= found < _LAST:
        raise forms.ValidationError("The timestamp is out of range.")
    return found


def _python_value(field: Any, value: Any) -> Any:
    """Convert the value that identifies a row to the field's type, or return it unchanged if it is invalid."""
    try:
        if isinstance(field, models.DurationField):
            return parse_span(str(value))
        if isinstance(field, models.DateTimeField):
            return _timestamp(str(value))
    except (ValueError, forms.ValidationError):
        pass
    return value
