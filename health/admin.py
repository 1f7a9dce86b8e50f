"""Monitors, heartbeats, incidents and maintenance, as staff work with them."""

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify

from health.models import (
    Backup,
    CheckIn,
    Component,
    ComponentKind,
    Heartbeat,
    Incident,
    IncidentUpdate,
    MaintenanceWindow,
    Monitor,
)
from health.services import incidents
from opsportal.lib import formats, outbound
from opsportal.lib.admin import LogAdmin
from opsportal.lib.markup import state, when


class ComponentBase(admin.ModelAdmin[Any]):
    list_filter = ("status", "is_enabled", "is_required", "is_public")
    search_fields = ("title", "name")
    kind = ComponentKind.CHECK

    @admin.display(description="state", ordering="status")
    def shown_status(self, obj: Component) -> SafeString:
        return state(obj.status, obj.get_status_display())

    @admin.display(description="since", ordering="since")
    def shown_since(self, obj: Component) -> SafeString:
        return when(obj.since)

    @admin.display(description="last answer")
    def shown_answer(self, obj: Component) -> str:
        return f"{obj.last_duration_ms:.0f} ms, {obj.last_message}" if obj.last_at else formats.NONE

    def save_model(self, request: HttpRequest, obj: Component, form: Any, change: bool) -> None:
        if not change:
            obj.kind = self.kind
            obj.name = f"{slugify(obj.title)[:90] or self.kind}-{uuid.uuid4().hex[:6]}"
        super().save_model(request, obj, form, change)


@admin.register(Component)
class CheckAdmin(ComponentBase):
    """The portal's own checks: what they are called and how they are asked stands in the code."""

    list_display = (
        "title",
        "shown_status",
        "shown_since",
        "is_required",
        "is_public",
        "shown_answer",
    )
    fields = ("is_public", "is_enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Component]:
        return Component.objects.checks().in_order()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MonitorForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Monitor
        fields = ("url",)  # the admin's fieldsets say which

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            outbound.check_public_url(url.replace("tcp://", "http://", 1))
        except outbound.ForbiddenAddress as refusal:
            raise ValidationError(str(refusal)) from refusal
        return url


@admin.register(Monitor)
class MonitorAdmin(ComponentBase):
    form = MonitorForm
    kind = ComponentKind.MONITOR
    list_display = (
        "title",
        "shown_status",
        "shown_since",
        "url",
        "shown_answer",
        "certificate_until",
    )
    search_fields = ("title", "url")
    autocomplete_fields = ()
    fieldsets = (
        (None, {"fields": ("title", "url", "app", "is_enabled", "is_required", "is_public")}),
        (
            "When",
            {"fields": ("interval_minutes", "timeout_seconds", "fail_after", "recover_after")},
        ),
        ("What is sent", {"fields": ("method", "headers", "body"), "classes": ("collapse",)}),
        (
            "What is expected",
            {
                "fields": (
                    "expected_status",
                    "latency_limit_ms",
                    "contains",
                    "json_path",
                    "json_value",
                )
            },
        ),
    )


class CheckInInline(admin.TabularInline[CheckIn, Heartbeat]):
    model = CheckIn
    fields = ("at", "status", "duration_ms")
    readonly_fields = fields
    ordering = ("-at", "-pk")
    extra = 0
    max_num = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[CheckIn]:
        """The last three days: a job of each minute has thousands of runs."""
        recent = timezone.now() - timedelta(days=3)
        return super().get_queryset(request).filter(at__gte=recent)


@admin.register(Heartbeat)
class HeartbeatAdmin(ComponentBase):
    kind = ComponentKind.HEARTBEAT
    list_display = ("title", "shown_status", "app", "schedule", "last_check_in_at", "expected_at")
    list_select_related = ("app",)
    readonly_fields = ("ping_address",)
    fieldsets = (
        (None, {"fields": ("title", "app", "slug", "environment", "ping_address")}),
        (
            "When",
            {
                "fields": (
                    "crontab",
                    "time_zone",
                    "interval_minutes",
                    "margin_minutes",
                    "max_runtime_minutes",
                    "fail_after",
                    "recover_after",
                )
            },
        ),
        ("How it counts", {"fields": ("is_enabled", "is_required", "is_public")}),
    )
    inlines = (CheckInInline,)

    @admin.display(description="address to call")
    def ping_address(self, obj: Heartbeat) -> SafeString | str:
        if not obj.pk:
            return "is shown here once it is saved"
        url = obj.ping_url
        return format_html(
            "<code>curl -fsS {}</code> after the work; …/start/ before it, …/fail/ when it failed",
            url,
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"fail_after": 1, "recover_after": 1}


class UpdateInline(admin.TabularInline[IncidentUpdate, Incident]):
    model = IncidentUpdate
    fields = ("at", "state", "text")
    extra = 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.base_fields["at"].initial = timezone.now
        return formset


@admin.register(Incident)
class IncidentAdmin(admin.ModelAdmin[Incident]):
    list_display = ("title", "shown_state", "component", "started_at", "resolved_at", "is_public")
    list_filter = ("state", "is_public", "is_automatic")
    list_select_related = ("component",)
    search_fields = ("title", "postmortem")
    date_hierarchy = "started_at"
    fields = ("title", "component", "is_major", "is_public", "started_at", "postmortem")
    inlines = (UpdateInline,)

    @admin.display(description="state", ordering="state")
    def shown_state(self, obj: Incident) -> SafeString:
        return state("resolved" if obj.resolved_at else "open", obj.get_state_display())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return super().get_queryset(request).order_by("-started_at", "-pk")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"started_at": timezone.now(), "is_public": True}

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """The newest update says where the incident stands."""
        for update in formset.save(commit=False):
            update.user = request.user
            update.save()
        for gone in formset.deleted_objects:
            gone.delete()
        incidents.follow_updates(form.instance)


@admin.register(MaintenanceWindow)
class MaintenanceAdmin(admin.ModelAdmin[MaintenanceWindow]):
    list_display = ("title", "starts_at", "ends_at", "is_public")
    filter_horizontal = ("components",)
    search_fields = ("title", "text")
    ordering = ("-starts_at", "-pk")


@admin.register(Backup)
class BackupAdmin(LogAdmin):
    list_display = (
        "started_at",
        "state",
        "shown_size",
        "file",
        "verified_at",
        "is_good",
        "finding",
    )
    list_filter = ("state", "is_good")
    ordering = ("-started_at", "-pk")

    @admin.display(description="size", ordering="size_bytes")
    def shown_size(self, obj: Backup) -> str:
        return " ".join(formats.split_size(obj.size_bytes))
