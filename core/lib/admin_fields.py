"""Define how the Django admin shows fields: widgets, labels, pills and relative times."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import FORMFIELD_FOR_DBFIELD_DEFAULTS
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lib import formats
from core.lib.forms import Checkboxes
from core.lib.markup import severity, state


class DayAndTime(forms.SplitDateTimeWidget):
    """A widget for a date and a time, with the browser's own pickers and the time zone.

    The widget accepts an initial timestamp as a string, as in an add form's URL: `?starts_at=2026-11-22T14:00`. For a
    string, Django's own widget raises an exception, which clients see as a 500.
    """

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(
            attrs,
            date_format="%Y-%m-%d",
            time_format="%H:%M:%S",
            date_attrs={"type": "date", "class": "day"},
            # With a step of one second, saving the form keeps the seconds of a stored timestamp.
            time_attrs={"type": "time", "class": "time", "step": "1"},
        )

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        inputs = super().render(*args, **kwargs)
        zone = timezone.get_current_timezone_name()
        return format_html(
            '<span class="day-and-time">{}<span class="quiet small">{}</span></span>', inputs, zone
        )

    def decompress(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = parse_datetime(value)
            except ValueError:
                value = None
        return super().decompress(value)


class Day(forms.DateInput):
    input_type = "date"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, format="%Y-%m-%d")


class TimeOfDay(forms.TimeInput):
    input_type = "time"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, format="%H:%M")


FORMFIELD_FOR_DBFIELD_DEFAULTS[models.DateTimeField]["widget"] = DayAndTime
FORMFIELD_FOR_DBFIELD_DEFAULTS[models.DateField]["widget"] = Day
FORMFIELD_FOR_DBFIELD_DEFAULTS[models.TimeField]["widget"] = TimeOfDay
# Unlike Django's widgets for several values, checkboxes need no instructions and no script.
FORMFIELD_FOR_DBFIELD_DEFAULTS[models.ManyToManyField] = {"widget": Checkboxes}


PILLS: dict[str, Callable[..., SafeString]] = {
    "severity": severity,
    "state": state,
    "status": state,
    "outcome": state,
    "last_outcome": state,
}


_ABBREVIATIONS = {
    "api",
    "csv",
    "dsn",
    "id",
    "ids",
    "http",
    "ip",
    "json",
    "pid",
    "sdk",
    "sms",
    "uri",
    "url",
    "uuid",
}
_UNITS = {"ms", "bytes", "seconds", "minutes", "hours", "days", "percent"}


def readable(name: str) -> str:
    """Turn a field's verbose name into its label: "json path" becomes "JSON path", "timeout ms" becomes "timeout (ms)".

    The words "is" and "has" at the start, and "at" at the end, are dropped.

    The first letter keeps its case, because list columns start with a small letter and form labels with a capital one.
    """
    words = name.replace("livemode", "live mode").split(" ")
    if len(words) > 1 and words[0].lower() in ("is", "has"):
        words = words[1:]
    if len(words) > 1 and words[-1] == "at":
        words = words[:-1]
    unit = ""
    if len(words) > 1 and words[-1].lower() in _UNITS:
        unit = f" ({'%' if words[-1].lower() == 'percent' else words[-1]})"
        words = words[:-1]
    return (
        " ".join(word.upper() if word.lower() in _ABBREVIATIONS else word for word in words) + unit
    )


def yes_or_no(value: bool | None) -> str:
    """Show True and False as words, because a green tick would suggest that True is always good."""
    return formats.NONE if value is None else "Yes" if value else "No"


def plain_field(field: forms.Field | None) -> forms.Field | None:
    """Remove the field's icons for pop-ups, label its empty choice "Choose one" or "None", and return the field."""
    if field is None:
        return None
    if isinstance(field.widget, RelatedFieldWidgetWrapper):
        field.widget = field.widget.widget
    empty = "Choose one" if field.required else "None"
    if isinstance(field, forms.ModelChoiceField):
        if field.empty_label:
            field.empty_label = empty
        if isinstance(field.widget, Checkboxes) and field.queryset is not None:
            field.widget.plural_name = str(field.queryset.model._meta.verbose_name_plural)
    elif isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        field.choices = [(value, empty if value == "" else label) for value, label in choices]
    return field


def make_column(
    field: models.Field[Any, Any], show: Callable[..., str], label: str, *, is_number: bool = False
) -> Callable[..., str]:
    def column(row: models.Model) -> str:
        value = getattr(row, field.name)
        return "" if value is None or value == "" else show(value)

    # Django turns this name into a CSS class, which admin.css uses to align numbers.
    column.__name__ = f"num_{field.name}" if is_number else field.name
    described = admin.display(description=label, ordering=field.name)
    return described(column)
