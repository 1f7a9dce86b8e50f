"""Define the form of a rule. Only the metric and the threshold have no default values."""

import itertools
import re
from typing import Any

from django import forms

from alerts.extension_points import Severity, metric_readers
from alerts.messages import format_value
from alerts.models import AlertRule, AlertType
from alerts.services.defaults import get_or_create_type
from core.lib.forms import SpanField, parse_span

CUSTOM_TYPE = "custom-rule"
DEFAULTS = {
    "window": "15 min",
    "severity": Severity.WARNING,
    "alert_type": CUSTOM_TYPE,
    "breaches_needed": 1,
    "out_of": 1,
    "clear_after": 1,
    "min_samples": 0,
    "no_data": "ok",
    "cooldown": "0 min",
    "reopen_window": "15 min",
    "cadence": "minute",
}
MAX_NAME_LENGTH = 90


class AlertRuleForm(forms.ModelForm[AlertRule]):
    class Meta:
        model = AlertRule
        fields = ("reader", "selector")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_new = kwargs.get("instance") is None
        if self.is_new:
            get_or_create_type(CUSTOM_TYPE, Severity.WARNING)
            kwargs["initial"] = {**DEFAULTS, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if "reader" in self.fields:
            choices = [
                ("", "Choose what to measure"),
                *((name, name) for name in metric_readers.names()),
            ]
            self.fields["reader"] = forms.ChoiceField(choices=choices, label="Measure")
        if "selector" in self.fields:
            self.fields["selector"].label = "Metric"
            self.fields["selector"].required = True
            self.fields["selector"].widget.attrs |= {"autocomplete": "off", "size": 60}
        if "alert_type" in self.fields:
            types = list(AlertType.objects.order_by("name").values_list("slug", "name"))
            self.fields["alert_type"].widget = forms.Select(choices=types)
        if self.is_new:
            for name in self.fields:
                if name in DEFAULTS or name in ("name", "summary"):
                    self.fields[name].required = False
            self.fields["name"].help_text = "Leave empty to use the name of the metric."
            title = "The title of the alert. Leave empty for the metric and the threshold."
            self.fields["summary"].help_text = title
            self.fields["unit"].help_text = "Leave empty for the unit of the metric."

    def clean_alert_type(self) -> str:
        """Reject an alert type that does not exist, because its first alert would create it with default channels."""
        slug = str(self.cleaned_data["alert_type"])
        if slug and not AlertType.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"There is no alert type with the identifier “{slug}”.")
        return slug

    def clean(self) -> dict[str, Any]:
        super().clean()
        cleaned = self.cleaned_data
        if not self.is_new:
            return cleaned
        for name, default in DEFAULTS.items():
            if cleaned.get(name) in (None, "") and name not in self.errors:
                is_span = isinstance(self.fields.get(name), SpanField)
                cleaned[name] = parse_span(str(default)) if is_span else default
        reader, selector = cleaned.get("reader"), cleaned.get("selector")
        if not reader or not selector or cleaned.get("threshold") is None:
            return cleaned
        cleaned["unit"] = cleaned.get("unit") or metric_readers.get(reader).unit
        if not cleaned.get("summary"):
            relation = "at or below" if cleaned.get("below") else "above"
            limit = format_value(cleaned["threshold"], cleaned["unit"])
            cleaned["summary"] = f"{selector} {relation} {limit}"[:200]
        if not cleaned.get("name"):
            cleaned["name"] = _find_free_name(selector)
        return cleaned


def _find_free_name(selector: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", selector.lower()).strip("_")
    base = f"custom.{words or 'rule'}"[:MAX_NAME_LENGTH]
    candidates = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
    return next(name for name in candidates if not AlertRule.objects.filter(name=name).exists())
