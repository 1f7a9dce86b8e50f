"""Register the models that have no page of their own in the admin."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from core.lib.admin import LogAdmin, Section
from errors.models import Discarded, ErrorGroup, UserReport


@admin.register(ErrorGroup)
class ErrorGroupAdmin(LogAdmin):
    """The admin of groups, which only redirects links to the group pages."""

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
    """The admin of the items that were not stored, with the reason: quotas, unreadable reports, unsupported types."""

    section = Section.APPS
    setting_title = "Discarded reports"
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
