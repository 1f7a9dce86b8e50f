"""Define the admin of incidents and maintenance windows."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from core.lib.admin import PortalAdmin, PortalInline, Section
from core.lib.app_access import limit
from core.lib.forms import TitleChoiceField, TitleMultipleChoiceField
from core.lib.markup import state
from health.models import (
    Component,
    Incident,
    IncidentState,
    IncidentTemplate,
    IncidentUpdate,
    MaintenanceWindow,
)
from health.queries.incident_impact import incident_impact
from health.queries.onset import onset_of_incident
from health.services import incidents
from impact.queries.causes import find_causes


def chosen_template(request: HttpRequest) -> IncidentTemplate | None:
    """Return the incident template in the URL's query, or None if there is no such template."""
    number = request.GET.get("template", "")
    if not number.isdecimal() or len(number) > 18:
        return None
    return IncidentTemplate.objects.filter(pk=number).first()


class UpdateForm(forms.ModelForm[IncidentUpdate]):
    def has_changed(self) -> bool:
        """Return False for a new update without text in the state "investigating", so that the update is not saved.

        Text from a template is treated like text that the user entered.
        """
        if self.instance.pk:
            return super().has_changed()
        state = self["state"].data
        is_text_given = bool(str(self["text"].data or "").strip())
        return is_text_given or state not in (None, "", IncidentState.INVESTIGATING)


class ComponentChoices:
    """A mixin with form fields for components that stay usable if there are thousands of components."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Component:
            kwargs |= {"form_class": TitleChoiceField, "queryset": _list_components()}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Component:
            kwargs |= {"form_class": TitleMultipleChoiceField, "queryset": _list_components()}
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


def _list_components() -> QuerySet[Component]:
    return limit(Component.objects.order_by("title", "pk"))


class UpdateInline(PortalInline):
    model = IncidentUpdate
    form = UpdateForm
    template = "admin/edit_inline/stacked.html"
    fields = ("state", "text", "at")
    field_labels = {"at": "Time"}
    field_help = {
        "text": "Describe what is known and what is being done. The status page shows this text.",
        "at": "If the time is in the future, the update is published at that time.",
    }
    extra = 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        template = chosen_template(request)
        fields = formset.form.base_fields
        fields["at"].initial = timezone.now
        fields["state"].initial = template.state if template else IncidentState.INVESTIGATING
        if template:
            fields["text"].initial = template.text
        return formset


@admin.register(Incident)
class IncidentAdmin(ComponentChoices, PortalAdmin):
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
        "component": "Leave empty if several components are affected.",
    }
    list_per_page = 50
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

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the form with the templates that staff can choose for an update."""
        context = {"templates": IncidentTemplate.objects.all(), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form with the incident's possible causes and, if the user may see orders, its cost."""
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
        initial = {"started_at": timezone.now(), "is_public": True}
        template = chosen_template(request)
        if template:
            initial |= {
                "title": template.title,
                "component": template.component_id,
                "is_major": template.is_major,
            }
        return initial

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the updates with their author, and give the incident the state of its newest published update."""
        now = timezone.now()
        for update in formset.save(commit=False):
            update.user_id = request.user.pk
            update.is_scheduled = update.at > now
            update.save()
        for deleted in formset.deleted_objects:
            deleted.delete()
        incidents.sync_with_updates(form.instance, now=now)


@admin.register(MaintenanceWindow)
class MaintenanceAdmin(ComponentChoices, PortalAdmin):
    section = Section.STATUS_PAGE
    setting_purpose = "Announced work, which does not count as downtime."
    field_labels = {"text": "Announcement", "is_public": "Show on the status page"}
    field_help = {
        "title": "For example Database upgrade.",
        "text": "Describe what users can expect. The text is shown on the status page and sent to its subscribers.",
        "is_public": "Subscribers are notified when the maintenance is announced or moved, and when it begins "
        "and ends.",
    }
    constraint_messages = {
        "maintenance_ends_after_it_starts": ("ends_at", "The end must be later than the start.")
    }
    list_display = ("title", "starts_at", "ends_at", "is_public")
    search_fields = ("title", "text")
    ordering = ("-starts_at", "-pk")
