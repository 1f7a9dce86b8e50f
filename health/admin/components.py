"""Define the admin of checks, certificates and heartbeats, and the base of these classes."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from core.lib import app_access, formats
from core.lib.admin import PortalAdmin, PortalInline, Section, Tool, log_change
from core.lib.markup import state, when
from core.lib.natural import natural_key
from health.models import (
    Certificate,
    CheckIn,
    CheckInStatus,
    Component,
    ComponentKind,
    Heartbeat,
)
from health.models.components import having_tag, split_tags
from health.queries.components import load_groups, silence_url
from health.services.heartbeats import check_in

MAX_RUNS = 30  # The page of a heartbeat shows only the newest runs.


class TagFilter(admin.SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        texts = (
            app_access.limit(model_admin.model.objects.exclude(tags=""))
            .values_list("tags", flat=True)
            .distinct()
        )
        return [(tag, tag) for tag in sorted({tag for text in texts for tag in split_tags(text)})]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(having_tag(tag)) if (tag := self.value()) else queryset


class GroupFilter(admin.SimpleListFilter):
    title = "group"
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        groups = app_access.limit(model_admin.model.objects.exclude(group="")).values_list(
            "group", flat=True
        )
        return [(group, group) for group in sorted(set(groups), key=natural_key)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(group=self.value()) if self.value() else queryset


class ComponentBase(PortalAdmin):
    list_per_page = 50
    list_filter: ClassVar[Any] = (
        "status",
        GroupFilter,
        TagFilter,
        "is_enabled",
        "is_required",
        "is_public",
    )
    search_fields: ClassVar[Any] = ("title", "name", "group", "tags")
    change_list_template = "admin/health/change_list.html"
    kind = ComponentKind.CHECK

    @admin.display(description="state", ordering="status")
    def shown_status(self, obj: Component) -> SafeString:
        if not obj.is_enabled:
            return state("off")
        return state(obj.status, obj.get_status_display())

    @admin.display(description="since", ordering="since")
    def shown_since(self, obj: Component) -> SafeString:
        return when(obj.since)

    @admin.display(description="last result")
    def shown_result(self, obj: Component) -> str:
        return f"{obj.last_duration_ms:.0f} ms, {obj.last_message}" if obj.last_at else formats.NONE

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Add the state of each group to the list page."""
        groups = load_groups(self.get_queryset(request))
        return super().changelist_view(request, {**(extra_context or {}), "groups": groups})

    @admin.display(description="group and tags", ordering="group")
    def shown_group(self, obj: Component) -> str:
        return ", ".join(filter(None, [obj.group, *(f"#{tag}" for tag in split_tags(obj.tags))]))

    def list_tools(self, request: HttpRequest, obj: Any) -> list[Tool]:
        if not request.user.has_perm("alerts.add_silence"):
            return []
        return [Tool("Silence", silence_url(obj))]

    def save_model(self, request: HttpRequest, obj: Component, form: Any, change: bool) -> None:
        if not change:
            obj.kind = self.kind
            obj.name = obj.name or f"{slugify(obj.title)[:90] or self.kind}-{uuid.uuid4().hex[:6]}"
        super().save_model(request, obj, form, change)


@admin.register(Component)
class CheckAdmin(ComponentBase):
    """The admin of the portal's own checks.

    The code defines these checks, so staff can only publish, group, tag or disable them.
    """

    section = Section.MONITORING
    setting_title = "Checks"
    row_name = "check"
    setting_purpose = "The portal's own checks, which you can publish or disable."
    list_display = (
        "title",
        "shown_status",
        "shown_since",
        "is_required",
        "is_public",
        "shown_result",
    )
    fields = ("is_public", "group", "position", "tags", "is_enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Component]:
        return app_access.limit(Component.objects.checks().in_order())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Certificate)
class CertificateAdmin(ComponentBase):
    """The admin of the certificates of https monitors.

    The portal creates and deletes certificates, so staff can only publish, group, tag or disable them.
    """

    section = Section.MONITORING
    setting_purpose = "The certificates of monitored addresses, with their expiry dates."
    list_display = (
        "title",
        "shown_status",
        "shown_expiry",
        "read_at",
        "is_public",
    )
    fields = (
        "title",
        "shown_expiry",
        "read_at",
        "is_public",
        "group",
        "position",
        "tags",
        "is_enabled",
    )
    readonly_fields = ("title", "shown_expiry", "read_at")
    search_fields = ("title", "host")
    ordering = (F("expires_at").asc(nulls_last=True), "host", "port")

    @admin.display(description="expires", ordering="expires_at")
    def shown_expiry(self, obj: Certificate) -> str:
        return formats.stamp(obj.expires_at) if obj.expires_at else "not read yet"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LatestRuns(BaseInlineFormSet):  # type: ignore[type-arg]  # not generic at runtime
    """The newest MAX_RUNS runs of a heartbeat. Older runs are not shown, because a job may have thousands."""

    def get_queryset(self) -> QuerySet[CheckIn]:
        if not hasattr(self, "_latest"):
            self._latest = super().get_queryset()[:MAX_RUNS]
        return self._latest


class CheckInInline(PortalInline):
    model = CheckIn
    formset: type[Any] = LatestRuns
    verbose_name_plural = "Latest runs"
    fields = ("at", "status", "duration_ms", "shown_output")
    readonly_fields = fields
    ordering = ("-at", "-pk")
    extra = 0
    max_num = 0
    can_delete = False

    @admin.display(description="output")
    def shown_output(self, obj: CheckIn) -> SafeString | str:
        if not obj.output:
            return "-"
        lines = obj.output.strip().splitlines() or [""]
        return format_html(
            "<details><summary>{}</summary><pre>{}</pre></details>", lines[-1][:80], obj.output
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CheckIn]:
        """Leave out runs that are older than three days, because a job that runs every minute has thousands of them."""
        recent = timezone.now() - timedelta(days=3)
        return super().get_queryset(request).filter(at__gte=recent)


@admin.register(Heartbeat)
class HeartbeatAdmin(ComponentBase):
    section = Section.MONITORING
    setting_purpose = "Jobs of your apps that report each run; a missed run opens an alert."
    field_labels = {
        "title": "Name",
        "slug": "Identifier",
        "crontab": "Schedule as crontab",
        "interval_minutes": "Or every (minutes)",
        "margin_minutes": "Grace period (minutes)",
        "max_runtime_minutes": "Longest run (minutes)",
        "fail_after": "Down after (failures)",
        "recover_after": "Up after (successes)",
        "is_public": "Show on the status page",
        "last_check_in_at": "Last check-in",
        "expected_at": "Expected",
    }
    field_help = {
        "title": "For example Nightly invoices.",
        "slug": "Leave empty to derive the identifier from the name.",
        "crontab": "For example 0 3 * * * for every day at 03:00.",
        "interval_minutes": "For a job without fixed times. Leave empty if you enter a crontab.",
        "time_zone": "The time zone of the crontab, for example Europe/Berlin.",
        "environment": "For example production. Leave empty if there is only one environment.",
    }
    kind = ComponentKind.HEARTBEAT
    list_display = (
        "title",
        "shown_status",
        "app",
        "shown_schedule",
        "last_check_in_at",
        "expected_at",
    )
    list_select_related = ("app",)
    readonly_fields = ("ping_address", "app_settings")
    fieldsets = (
        (None, {"fields": ("title", "app", "slug", "environment", "ping_address")}),
        (
            "Schedule",
            {
                "fields": (
                    "app_settings",
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
        (
            "Status",
            {"fields": ("is_enabled", "is_required", "is_public", "group", "position", "tags")},
        ),
    )

    change_form_template = "admin/health/heartbeat/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        view = wrap(require_POST(self.check_in_now))
        return [
            path("<int:pk>/check-in/", view, name="health_heartbeat_check_in"),
            *super().get_urls(),
        ]

    def check_in_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Record a successful run when staff press “Check in now” to try out the heartbeat."""
        heartbeat = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_change_permission(request, heartbeat):
            return HttpResponse(status=403)
        check_in(heartbeat, status=CheckInStatus.OK, now=timezone.now())
        log_change(request, heartbeat, "checked in manually")
        self.message_user(request, "Check-in recorded.")
        return redirect("admin:health_heartbeat_change", pk)

    def get_inlines(self, request: HttpRequest, obj: Heartbeat | None = None) -> Any:
        return (CheckInInline,) if obj else ()

    @admin.display(description="check-in URL")
    def ping_address(self, obj: Heartbeat) -> SafeString | str:
        if not obj.pk:
            return "Save the heartbeat to see this address."
        url = obj.ping_url
        return format_html(
            "Have the job run <code>curl -fsS {}</code> when it succeeds. Append start/ to the address when the "
            "job starts, or fail/ when it fails.",
            url,
        )

    @admin.display(description="schedule")
    def shown_schedule(self, obj: Heartbeat) -> SafeString | str:
        if not obj.config_problem:
            return obj.schedule
        return format_html("{} {}", obj.schedule, state("warning", "invalid monitor_config"))

    @admin.display(description="settings from the app")
    def app_settings(self, obj: Heartbeat) -> SafeString | str:
        if not obj.config_problem:
            return "The app's monitor_config is valid, or the app sends none."
        return format_html(
            "{} The portal ignored invalid settings in the app's last monitor_config: {}. Correct them in the "
            "app's code.",
            state("warning", "Invalid"),
            obj.config_problem,
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"fail_after": 1, "recover_after": 1}
