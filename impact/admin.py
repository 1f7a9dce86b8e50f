"""List erasures in the admin, and link to the pages about a person's data from the settings page."""

from django.contrib import admin
from django.http import HttpRequest

from core.lib.admin import LogAdmin, Section, SettingLink
from impact.models import Erasure


@admin.register(Erasure)
class ErasureAdmin(LogAdmin):
    section = Section.PEOPLE
    setting_title = "Erasures of people"
    list_display = ("requested_at", "requested_by", "finished_at", "summary")
    list_select_related = ("requested_by",)
    fields = ("requested_at", "requested_by", "finished_at", "counts")
    more_links = (
        SettingLink(
            "A person's data",
            "Find, download or erase the data that is stored about a customer.",
            "impact:person",
            "impact.add_erasure",
        ),
        SettingLink(
            "How long data is kept",
            "The retention period of each kind of data, and the setting that changes it.",
            "impact:retention",
            "impact.view_erasure",
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Erasure | None = None) -> bool:
        # A deleted erasure could not be continued, so the person would not be fully erased.
        return False
