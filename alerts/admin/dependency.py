from typing import Any

from django import forms
from django.contrib import admin

from alerts.matchers_field import MatchersField
from alerts.models import Dependency
from core.lib.admin import PortalAdmin, Section


class DependencyForm(forms.ModelForm[Dependency]):
    matchers = MatchersField(
        label="Hold back alerts with",
        help_text="All fields that you fill in must match; * stands for any text.",
    )
    cause = MatchersField(
        label="While an alert is active with",
        help_text="For example the problem health:database.",
    )

    class Meta:
        model = Dependency
        fields = ("comment", "is_enabled", "matchers", "cause")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("cause") and "cause" not in self.errors:
            self.add_error("cause", "Fill in at least one field of the cause.")
        return cleaned


@admin.register(Dependency)
class DependencyAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Alerts that send no messages while the alert about their cause is active."
    form = DependencyForm
    field_labels = {"comment": "Reason", "is_enabled": "Enabled"}
    field_help = {"comment": "For example: Pages fail while the database is down."}
    constraint_messages = {
        "dependencies_name_a_cause": ("cause", "Fill in at least one field of the cause.")
    }
    list_display = ("comment", "is_enabled")
