"""Incidents and maintenance windows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from core.lib.admin import PortalAdmin, PortalInline, Section
from core.lib.markup import state
from health.models import Incident, IncidentState, IncidentUpdate, MaintenanceWindow
from health.queries.incident_impact import incident_impact
from health.queries.onset import onset_of_incident
from health.services import incidents
from impact.queries.causes import find_causes


class UpdateInline(PortalInline):
    model = IncidentUpdate
    template = "admin/edit_inline/stacked.html"
    fields = ("state", "text", "at")
    field_labels = {"at": "Time"}
    field_help = {
        "text": "Describe what is known and what is being done. The status page shows this text."
    }
    extra = 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.base_fields["at"].initial = timezone.now
        formset.form.base_fields["state"].initial = IncidentState.INVESTIGATING
        return formset


@admin.register(Incident)
class IncidentAdmin(PortalAdmin):
    section = Section.STATUS_PAGE
    setting_purpose = "Outages, with the updates that the public status page shows."
    field_labels = {
        "component": "Affected component",
        "is_major": "Major outage",
        "is_public": "Show on the status page",
        "started_at": "Started",
        "resolved_at": "Resolved",
    }
    field_help = {
        "title": "Describe what users notice, for example: Payments fail for some customers.",
        "component": "Leave empty if several are affected.",
    }
    list_display = ("title", "shown_state", "component", "started_at", "resolved_at", "is_public")
    list_filter = ("state", "is_public", "is_automatic")
    list_select_related = ("component",)
    search_fields = ("title", "postmortem")
    date_hierarchy = "started_at"
    fieldsets = (
        (None, {"fields": ("title", "component", "is_major", "is_public")}),
        (
            "Start and post-mortem",
            {"fields": ("started_at", "postmortem"), "classes": ("collapse",)},
        ),
    )
    inlines = (UpdateInline,)
    change_form_template = "admin/health/incident/change_form.html"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form with the cost of the incident and its possible causes."""
        incident = self.get_object(request, object_id)
        if incident is not None:
            causes = find_causes(onset_of_incident(incident))
            extra_context = {**(extra_context or {}), "causes": causes, "is_known": True}
            if request.user.has_perm("impact.view_order"):
                impact = incident_impact(incident, now=timezone.now(), url=request.path)
                extra_context["impact"] = impact
        return super().change_view(request, object_id, form_url, extra_context)

    @admin.display(description="state", ordering="state")
    def shown_state(self, obj: Incident) -> SafeString:
        return state("resolved" if obj.resolved_at else "open", obj.get_state_display())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return super().get_queryset(request).order_by("-started_at", "-pk")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"started_at": timezone.now(), "is_public": True}

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the updates with their author, and set the incident's state to that of the newest update."""
        for update in formset.save(commit=False):
            update.user_id = request.user.pk
            update.save()
        for deleted in formset.deleted_objects:
            deleted.delete()
        incidents.sync_with_updates(form.instance)


@admin.register(MaintenanceWindow)
class MaintenanceAdmin(PortalAdmin):
    section = Section.STATUS_PAGE
    setting_purpose = "Announced work, which does not count as downtime."
    field_labels = {"text": "Announcement", "is_public": "Show on the status page"}
    field_help = {
        "title": "For example Database upgrade.",
        "text": "Describe what users can expect. The status page shows this text.",
    }
    constraint_messages = {
        "maintenance_ends_after_it_starts": ("ends_at", "The end must be later than the start.")
    }
    list_display = ("title", "starts_at", "ends_at", "is_public")
    search_fields = ("title", "text")
    ordering = ("-starts_at", "-pk")
