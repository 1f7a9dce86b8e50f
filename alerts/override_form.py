"""Define the form for adding an override to an on-call schedule."""

from typing import Any

from django import forms

from alerts.models import Person, Schedule, ScheduleOverride

_LOCAL = "%Y-%m-%dT%H:%M"


class LocalDateTimeField(forms.DateTimeField):
    """A field with the browser's input for dates and times, which are in the time zone of the schedule."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(
            attrs={"type": "datetime-local", "class": "input"}, format=_LOCAL
        )
        super().__init__(widget=widget, input_formats=[_LOCAL, "%Y-%m-%d %H:%M"], **options)


class OverrideForm(forms.ModelForm[ScheduleOverride]):
    starts_at = LocalDateTimeField(label="From")
    ends_at = LocalDateTimeField(label="Until")

    class Meta:
        model = ScheduleOverride
        fields = ("person", "starts_at", "ends_at", "instead_of", "comment")
        labels = {"person": "Takes over", "instead_of": "Only from", "comment": "Comment"}

    def __init__(self, *args: Any, schedule: Schedule, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.instance.schedule = schedule
        people = Person.objects.filter(is_active=True)
        for name, label in (("person", "Choose a person"), ("instead_of", "everyone")):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset, field.empty_label = people, label
        for name in ("person", "instead_of", "comment"):
            self.fields[name].widget.attrs["class"] = "input"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("person") and cleaned.get("person") == cleaned.get("instead_of"):
            self.add_error("instead_of", "A person cannot take over from themselves.")
        return cleaned
