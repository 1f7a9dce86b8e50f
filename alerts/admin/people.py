from django.contrib import admin

from alerts.models import Person, Team
from core.lib.admin import PortalAdmin, Section


@admin.register(Person)
class PersonAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_title = "People to notify"
    setting_purpose = "People whom channels notify by e-mail or SMS, with their quiet hours."
    fieldsets = (
        (None, {"fields": ("name", "user", "is_active")}),
        ("Contact", {"fields": ("email", "phone")}),
        (
            "Quiet hours",
            {
                "fields": (("quiet_from", "quiet_until"), "time_zone"),
                "description": "In these hours, only critical alerts are delivered.",
            },
        ),
    )
    field_labels = {
        "email": "E-mail address",
        "phone": "Phone number",
        "user": "Signs in as",
        "is_active": "Gets messages",
        "quiet_from": "From",
        "quiet_until": "Until",
    }
    field_help = {
        "phone": "In international format, for example +491701234567.",
        "user": "The account of this person in the portal (optional).",
        "time_zone": "For example Europe/Berlin.",
    }
    list_display = ("name", "email", "phone", "quiet_from", "quiet_until", "time_zone", "is_active")
    search_fields = ("name", "email")


@admin.register(Team)
class TeamAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Groups of people that channels and escalations can notify together."
