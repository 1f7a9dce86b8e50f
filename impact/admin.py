"""List erasures in the admin, and link the pages about a person's data on the settings page."""

from django.contrib import admin
from django.http import HttpRequest

from core.lib.admin import LogAdmin, Section, SettingLink
from impact.models import Erasure


@admin.register(Erasure)
class ErasureAdmin(LogAdmin):
    section = Section.PEOPLE
    setting_title = "Erasures of persons"
    list_display = ("requested_at", "requested_by", "finished_at", "summary")
    list_select_related = ("requested_by",)
    fields = ("requested_at", "requested_by", "finished_at", "counts")
    more_links = (
        SettingLink(
            "A person's data",
            "Find, download or erase what is stored about a customer.",
            "impact:person",
            "impact.add_erasure",
        ),
        SettingLink(
            "How long data is kept",
            "The retention of each kind of data, and where it is changed.",
            "impact:retention",
            "impact.view_erasure",
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Erasure | None = None) -> bool:
        return False  # An unfinished erasure must be continued.
