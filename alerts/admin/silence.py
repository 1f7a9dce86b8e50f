from django import forms
from django.contrib import admin
from django.http import HttpRequest

from alerts.models import Silence
from alerts.queries.silences import parse_matchers


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
class SilenceAdmin(admin.ModelAdmin[Silence]):
    list_display = ("comment", "is_maintenance", "starts_at", "ends_at", "recurrence", "created_by")
    list_filter = ("is_maintenance", "recurrence")
    form = SilenceForm

    def save_model(
        self, request: HttpRequest, obj: Silence, form: forms.ModelForm[Silence], change: bool
    ) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
