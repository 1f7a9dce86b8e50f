"""Define the form field for matchers, with one input for each field of an alert that matchers can name."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms.renderers import get_default_renderer
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from alerts.extension_points import Severity
from alerts.queries.silences import MATCHABLE_FIELDS

_LABELS = {
    "rule": ("Rule", "errors.*"),
    "severity": ("Severity", ""),
    "alert_type": ("Type", "monitor-down"),
    "source": ("Source", "shop"),
    "key": ("Problem", "health:*"),
}


class MatchersWidget(forms.MultiWidget):
    def __init__(self) -> None:
        severities = [("", "Any"), *reversed(Severity.choices)]
        super().__init__(
            {
                name: forms.Select(choices=severities)
                if name == "severity"
                else forms.TextInput(attrs={"class": "vTextField", "placeholder": example})
                for name, (_, example) in _LABELS.items()
            }
        )

    def decompress(self, value: Any) -> list[str]:
        matchers = value if isinstance(value, Mapping) else {}
        return [str(matchers.get(name, "")) for name in MATCHABLE_FIELDS]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = self.get_context(name, value, attrs)
        engine = renderer or get_default_renderer()
        inputs = format_html_join(
            "",
            '<div class="matcher"><label for="{}">{}</label>{}</div>',
            (
                (
                    one["attrs"]["id"],
                    label,
                    mark_safe(  # noqa: S308  rendered by a template
                        engine.render(one["template_name"], {"widget": one})
                    ),
                )
                for one, (label, _) in zip(
                    context["widget"]["subwidgets"], _LABELS.values(), strict=True
                )
            ),
        )
        return format_html('<div class="matchers">{}</div>', inputs)


class MatchersField(forms.MultiValueField):
    """A form field whose value maps the name of each nonempty input to its pattern."""

    def __init__(self, **kwargs: Any) -> None:
        fields = [forms.CharField(required=False, max_length=200) for _ in MATCHABLE_FIELDS]
        super().__init__(
            fields, widget=MatchersWidget(), required=False, require_all_fields=False, **kwargs
        )

    def compress(self, data_list: list[str]) -> dict[str, str]:
        return {
            name: value for name, value in zip(MATCHABLE_FIELDS, data_list, strict=False) if value
        }
