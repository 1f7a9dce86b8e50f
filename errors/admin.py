"""Define admin pages for models without other staff pages, and redirect the admin's links to groups."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from core.lib.admin import LogAdmin, Section
from errors.models import Discarded, ErrorGroup, UserReport


@admin.register(ErrorGroup)
class ErrorGroupAdmin(LogAdmin):
    """An admin without pages of its own, which redirects to the list of errors and to a group's page."""

    is_listed = False  # Staff use the list of errors instead.

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        return redirect("errors:group-list")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        return redirect("errors:group-detail", int(object_id))

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Discarded)
class DiscardedAdmin(LogAdmin):
    """The admin of discarded items, with the reason for each, such as a quota or an unsupported type."""

    section = Section.APPS
    setting_title = "Discarded reports"
    row_name = "discarded report"
    list_display = ["date", "app", "source", "category", "reason", "count", "last_at"]
    list_filter = ["source", "app", "category"]
    list_select_related = ["app"]
    date_hierarchy = "date"
    ordering = ["-date", "-count"]


@admin.register(UserReport)
class UserReportAdmin(LogAdmin):
    """The admin of the reports that users wrote about errors."""

    section = Section.APPS
    list_display = ["received_at", "app", "message", "url"]
    list_filter = ["app"]
    list_select_related = ["app"]
    search_fields = ["message", "event_id"]
    ordering = ["-received_at"]
