from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from alerts.models import Rotation, RotationMember, Schedule, ScheduleOverride
from alerts.models.on_call import WEEKDAYS, all_weekdays
from core.lib.admin import PortalAdmin, PortalInline, Section, SettingLink


@admin.register(Schedule)
class ScheduleAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = (
        "Plans of who is on call when, such as Primary. Escalation steps notify the person on call."
    )
    more_links = (
        SettingLink(
            "On call", "The people who are on call now.", "alerts:on-call", "alerts.view_schedule"
        ),
    )
    list_display = ("name", "description", "time_zone")
    search_fields = ("name",)

    def response_add(self, request: HttpRequest, obj: Schedule, *args: Any) -> HttpResponse:
        """Redirect to the page of the new schedule, where staff can add rotations."""
        super().response_add(request, obj, *args)
        return redirect("alerts:on-call-schedule", obj.pk)

    def response_change(self, request: HttpRequest, obj: Schedule) -> HttpResponse:
        response = super().response_change(request, obj)
        if "_continue" in request.POST:
            return response
        return redirect("alerts:on-call-schedule", obj.pk)


class MemberInline(PortalInline):
    model = RotationMember
    extra = 2
    place_field = "position"
    verbose_name_plural = "people, in the order of their turns"


class WeekdaysField(forms.TypedMultipleChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=list(WEEKDAYS.items()),
            coerce=int,
            widget=forms.CheckboxSelectMultiple,
            **options,
        )


class RotationForm(forms.ModelForm[Rotation]):
    weekdays = WeekdaysField(
        label="On these weekdays",
        help_text="If the hours run past midnight, choose the days on which they begin.",
        initial=all_weekdays,
    )

    class Meta:
        model = Rotation
        fields = (
            "schedule",
            "name",
            "position",
            "every",
            "unit",
            "first_day",
            "handover_at",
            "time_zone",
            "on_from",
            "on_until",
            "weekdays",
        )


@admin.register(Rotation)
class RotationAdmin(PortalAdmin):
    section = Section.ALERTING
    # The index does not list this admin, because the page of a schedule links to it.
    is_listed = False
    form = RotationForm
    inlines = (MemberInline,)
    field_labels = {
        "position": "Order",
        "every": "Turns last",
        "unit": "Unit",
        "first_day": "First day",
        "handover_at": "Handover",
        "on_from": "On call from",
        "on_until": "Until",
    }
    field_help = {
        "time_zone": "The time zone of the handover and the hours, for example Europe/Berlin."
    }
    fieldsets = (
        (None, {"fields": ("schedule", "name", "position")}),
        ("Turns", {"fields": (("every", "unit"), "first_day", "handover_at", "time_zone")}),
        (
            "Hours",
            {
                "fields": (("on_from", "on_until"), "weekdays"),
                "description": "Leave the times empty for whole days. If several offices take turns during a day, "
                "add one rotation for each office, with its time zone and hours.",
            },
        ),
    )
    constraint_messages = {
        "one_rotation_per_name": ("name", "The schedule already has a rotation with this name."),
        "turns_have_a_length": ("every", "Enter a whole number of at least 1."),
        "hours_have_both_ends": ("on_until", "Enter both times, or leave both empty."),
    }
    list_display = ("name", "schedule", "turns", "hours")

    @admin.display(description="turns")
    def turns(self, rotation: Rotation) -> str:
        return rotation.turns_text

    @admin.display(description="hours")
    def hours(self, rotation: Rotation) -> str:
        return rotation.hours_text

    def response_add(self, request: HttpRequest, obj: Rotation, *args: Any) -> HttpResponse:
        super().response_add(request, obj, *args)
        return redirect("alerts:on-call-schedule", obj.schedule_id)

    def response_change(self, request: HttpRequest, obj: Rotation) -> HttpResponse:
        response = super().response_change(request, obj)
        if "_continue" in request.POST:
            return response
        return redirect("alerts:on-call-schedule", obj.schedule_id)


@admin.register(ScheduleOverride)
class ScheduleOverrideAdmin(PortalAdmin):
    section = Section.ALERTING
    is_listed = False
    fields = ("schedule", "person", "instead_of", "starts_at", "ends_at", "comment")
    field_labels = {
        "person": "Takes over",
        "instead_of": "Only from",
        "starts_at": "From",
        "ends_at": "Until",
    }
    constraint_messages = {
        "overrides_end_after_they_start": ("ends_at", "Enter a time after the start."),
    }
    list_display = ("person", "schedule", "instead_of", "starts_at", "ends_at", "comment")
    list_filter = ("schedule",)
