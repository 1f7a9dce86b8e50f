"""Validate the admin's forms while a user fills them in, without saving.

When the user leaves a field, `form_check.js` posts the form to its own URL with the header CHECK_HEADER. The same rules
apply as when the form is saved, so the user sees the same messages.
"""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms import BaseForm
from django.http import HttpRequest

CHECK_HEADER = "X-Form-Check"


def is_form_check(request: HttpRequest) -> bool:
    return request.method == "POST" and CHECK_HEADER in request.headers


def find_field_errors(
    model_admin: ModelAdmin[Any], request: HttpRequest, row: Model | None
) -> dict[str, list[str]]:
    """Return the messages of each invalid field of the posted form and its inlines, by the field's name in the page."""
    fields = flatten_fieldsets(model_admin.get_fieldsets(request, row))
    form_class = model_admin.get_form(request, row, change=row is not None, fields=fields)
    form = form_class(request.POST, request.FILES, instance=row)
    errors = _errors_of(form)
    for formset_class, inline in model_admin.get_formsets_with_inlines(request, row):
        formset = formset_class(
            request.POST,
            request.FILES,
            instance=form.instance,
            queryset=inline.get_queryset(request),
        )
        try:
            is_valid = formset.is_valid()
        except ValidationError:  # The page does not contain this formset.
            continue
        if not is_valid:
            for one in formset.forms:
                errors |= _errors_of(one)
    return errors


def _errors_of(form: BaseForm) -> dict[str, list[str]]:
    return {
        form.add_prefix(name): [str(text) for text in texts]
        for name, texts in form.errors.items()
        if name in form.fields
    }
