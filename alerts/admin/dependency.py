from typing import Any

from django import forms
from django.contrib import admin

from alerts.matchers_field import MatchersField
from alerts.models import Dependency
from core.lib.admin import PortalAdmin, Section


class DependencyForm(forms.ModelForm[Dependency]):
    matchers = MatchersField(
        label="Alerts to hold back",
        help_text="An alert is held back if it matches all fields that you fill in. * stands for any text.",
    )
    cause = MatchersField(
        label="Alert about the cause",
        help_text="The alerts are held back while an alert with these values is active, for example "
        "with the problem health:database.",
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
