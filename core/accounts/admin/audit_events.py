"""Define the admin of the audit log, which can be read and exported but not changed."""

from typing import Any

import msgspec
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from core.accounts.models import AuditEvent
from core.accounts.queries import in_batches
from core.accounts.services import audit
from core.lib.admin import LogAdmin, Section
from core.lib.csv_export import csv_response
from core.lib.openapi import NDJSON


@admin.register(AuditEvent)
class AuditEventAdmin(LogAdmin):
    section = Section.PEOPLE
    setting_title = "Audit log"
    list_display = ("at", "username", "action", "target", "detail", "status", "request_id")
    list_filter = ("at", ("user", admin.RelatedOnlyFieldListFilter))
    search_fields = ("username__exact", "action", "target", "request_id__exact")
    search_help_text = "Username, action, target, or reference (request id)"
    ordering = ("-at", "-pk")
    date_hierarchy = "at"
    show_facets = admin.ShowFacets.NEVER

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        return [
            path("export/<str:kind>/", view, name="access_auditevent_export"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list with links that download the listed events."""
        query = request.GET.urlencode()
        exports = [
            (f"{reverse('admin:access_auditevent_export', args=[kind])}?{query}", label)
            for kind, label in EXPORTS.items()
        ]
        return super().changelist_view(request, {**(extra_context or {}), "exports": exports})

    def export(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Stream the events that match the filters of the list, oldest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in EXPORTS:
            raise Http404(kind)
        try:
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest("A filter is invalid.", content_type="text/plain")
        audit.record(request.user, "access.auditevent exported", detail=kind)
        name = f"audit-log-{timezone.now():%Y-%m-%d}"
        rows = (
            [str(value) if value is not None else "" for value in _values(event).values()]
            for event in in_batches(found)
        )
        if kind == "csv":
            return csv_response(name, EXPORTED, rows)
        return StreamingHttpResponse(
            (msgspec.json.encode(_values(event)) + b"\n" for event in in_batches(found)),
            content_type=NDJSON,
            headers={"Content-Disposition": f'attachment; filename="{name}.jsonl"'},
        )


EXPORTS = {"csv": "Export as CSV", "jsonl": "Export as JSON Lines"}
EXPORTED = ("id", "at", "user_id", "username", "action", "target", "detail", "status", "request_id")


def _values(event: AuditEvent) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in EXPORTED}
    return {**values, "at": event.at.isoformat()}
