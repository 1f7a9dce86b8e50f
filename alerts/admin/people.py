from django.contrib import admin

from alerts.models import Person, Team


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin[Person]):
    list_display = ("name", "email", "phone", "quiet_from", "quiet_until", "time_zone", "is_active")
    search_fields = ("name", "email")


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin[Team]):
    filter_horizontal = ("people",)
