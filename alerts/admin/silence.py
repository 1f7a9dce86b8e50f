from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from alerts.matchers_field import MatchersField
from alerts.models import Silence
from core.lib.admin import PortalAdmin, Section


class SilenceForm(forms.ModelForm[Silence]):
    matchers = MatchersField(
        label="Alerts with",
        help_text="An alert must match all values; * stands for any text. Leave all fields empty to silence "
        "every alert.",
    )

    class Meta:
        model = Silence
        fields = (
            "comment",
            "is_maintenance",
            "matchers",
            "starts_at",
            "ends_at",
            "recurrence",
            "until",
            "time_zone",
        )


@admin.register(Silence)
class SilenceAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Periods in which alerts send no notifications."
    fieldsets = (
        (None, {"fields": ("comment", "is_maintenance")}),
        ("Which alerts", {"fields": ("matchers",)}),
        ("When", {"fields": ("starts_at", "ends_at", "recurrence", "until", "time_zone")}),
    )
    field_labels = {
        "comment": "Reason",
        "is_maintenance": "Planned maintenance",
        "starts_at": "Starts",
        "ends_at": "Ends",
        "recurrence": "Repeats",
        "until": "Repeats until",
    }
    field_help = {
        "is_maintenance": "The silence is also shown on the status page.",
        "comment": "For example: Database upgrade.",
        "time_zone": "Repeated silences start at the same time of day in this time zone, for example Europe/Berlin.",
    }
    constraint_messages = {
        "silences_end_after_they_start": ("ends_at", "The end must be later than the start.")
    }
    list_display = ("comment", "is_maintenance", "starts_at", "ends_at", "recurrence", "created_by")
    list_filter = ("is_maintenance", "recurrence")
    form = SilenceForm

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the initial values of the form: by default, a silence that starts now and ends in two hours."""
        now = timezone.now().replace(second=0, microsecond=0)
        initial: dict[str, Any] = {"starts_at": now, "ends_at": now + timedelta(hours=2)}
        given = super().get_changeform_initial_data(request)
        # The page of a monitor links to this form, with the key of the monitor's problem as the parameter `key`.
        if given.get("key"):
            initial["matchers"] = {"key": given.pop("key")}
        return {**initial, **given}

    def save_model(
        self, request: HttpRequest, obj: Silence, form: forms.ModelForm[Silence], change: bool
    ) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
