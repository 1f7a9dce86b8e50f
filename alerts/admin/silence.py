from django import forms
from django.contrib import admin
from django.http import HttpRequest

from alerts.models import Silence
from alerts.queries.silences import parse_matchers
from core.lib.admin import PortalAdmin, Section


class SilenceForm(forms.ModelForm[Silence]):
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

    def clean_matchers(self) -> dict[str, str]:
        try:
            return parse_matchers(self.cleaned_data["matchers"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Silence)
class SilenceAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Times in which alerts send no messages."
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
        "comment": "For example: Database upgrade.",
        "time_zone": "In which repeated silences start at the same time of day, for example Europe/Berlin.",
    }
    list_display = ("comment", "is_maintenance", "starts_at", "ends_at", "recurrence", "created_by")
    list_filter = ("is_maintenance", "recurrence")
    form = SilenceForm

    def save_model(
        self, request: HttpRequest, obj: Silence, form: forms.ModelForm[Silence], change: bool
    ) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
