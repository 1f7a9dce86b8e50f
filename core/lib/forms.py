"""Define form fields that several apps use."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.forms.models import ModelChoiceIterator
from django.forms.utils import flatatt
from django.utils.dateparse import parse_duration
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

# If there are more choices than this, they are rendered without a template for each choice, which is faster.
MANY_CHOICES = 100
_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "min": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_UNIT_OF = {
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*")


def parse_span(text: str) -> timedelta:
    """Parse a duration such as "15 min", "1 h 30 min", "2 days" or "00:15:00". Raises ValueError for any other text."""
    text = text.strip().lower()
    if re.fullmatch(r"(\d+ )?\d+:\d{2}:\d{2}", text):
        parsed = parse_duration(text)
        if parsed is not None:
            return parsed
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text) or any(unit not in _UNIT_OF for _, unit in parts):
        raise ValueError(text)
    try:
        return sum(
            (float(number) * _UNITS[_UNIT_OF[unit]] for number, unit in parts), start=timedelta()
        )
    except OverflowError as error:
        raise ValueError(text) from error


def spell_span(value: timedelta) -> str:
    """Return the exact duration in a form that `parse_span` reads, such as "1 h 30 min"."""
    left, parts = value, []
    for name, unit in _UNITS.items():
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts) or "0 min"


class Checkboxes(forms.CheckboxSelectMultiple):
    """A widget for several choices, with checkboxes in columns, which scrolls if there are many."""

    # The word for the choices, such as "teams".
    plural_name = "entries"

    def __init__(self, attrs: dict[str, Any] | None = None, choices: Any = ()) -> None:
        super().__init__({"class": "choices", **(attrs or {})}, choices)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        choices = list(self.choices)
        if not choices:
            return format_html(
                '<span class="quiet choices">{}</span>', f"There are no {self.plural_name} yet."
            )
        if len(choices) <= MANY_CHOICES:
            return super().render(name, value, attrs, renderer)
        chosen = {str(one) for one in value or ()}
        given = self.build_attrs(self.attrs, {"name": name, **(attrs or {})})
        base = escape(given.pop("id", f"id_{name}"))
        common = flatatt(given)
        # Only values and labels come from users, so only these are escaped.
        rows = "\n".join(
            f'<div><label for="{base}_{index}"><input type="checkbox" value="{escape(pk)}" id="{base}_{index}"'
            f"{common}{' checked' if str(pk) in chosen else ''}> {escape(label)}</label></div>"
            for index, (pk, label) in enumerate(choices)
        )
        return format_html(
            '<div id="{}" class="{}">{}</div>',
            base,
            given["class"],
            mark_safe(rows),  # noqa: S308 - escaped above
        )


class LongSelect(forms.Select):
    """A select for thousands of options, rendered without Django's template per option, which would be slow."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        chosen = {str(one) for one in self.format_value(value)}
        options = "\n".join(
            f'<option value="{escape(key)}"{" selected" if str(key) in chosen else ""}>{escape(label)}</option>'
            for key, label in self.choices
        )
        given = self.build_attrs(self.attrs, {"name": name, **(attrs or {})})
        safe = mark_safe(options)  # noqa: S308 - escaped above
        return format_html("<select{}>\n{}\n</select>", flatatt(given), safe)


class _Titles(ModelChoiceIterator[Any]):
    """The choices of a field that shows only the titles of rows, so that no model instances are created."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self.field.empty_label is not None:
            yield "", self.field.empty_label
        yield from self.queryset.values_list("pk", "title").iterator()


class TitleChoiceField(forms.ModelChoiceField[Any]):
    iterator = _Titles
    widget = LongSelect


class TitleMultipleChoiceField(forms.ModelMultipleChoiceField[Any]):
    iterator = _Titles
    widget = Checkboxes


class SpanField(forms.CharField):
    """A form field for a model's DurationField, in which users write "15 min" or "1 h 30 min"."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"size": 14, "placeholder": "15 min"}))
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        return spell_span(value) if isinstance(value, timedelta) else value

    def to_python(self, value: Any) -> Any:
        # A duration of 0 counts as false, so the value is not tested for truth.
        if isinstance(value, timedelta):
            return value
        if value in self.empty_values:
            return None
        try:
            return parse_span(str(value))
        except ValueError as error:
            raise forms.ValidationError(
                "Enter a duration with its unit, such as 15 min, 1 h 30 min or 2 d."
            ) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except forms.ValidationError:
            return True


class LinesField(forms.CharField):
    """A text area with one entry per line, for a JSONField that holds a list of strings."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        options.setdefault("max_length", 5000)
        super().__init__(widget=forms.Textarea(attrs={"rows": 3, "cols": 60}), **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = value if isinstance(value, list) else str(value or "").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise forms.ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Sequence[str]) -> None:
        for line in value:
            super().run_validators(line)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial or []) != self.to_python(data))
