from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import services
from alerts.messages import format_value
from alerts.models import AlertEvent, SystemAlert
from core.lib import app_access, formats
from core.lib.admin import LogAdmin, PortalInline, Section


class TimelineInline(PortalInline):
    model = AlertEvent
    fields = readonly_fields = ("at", "kind", "text", "user")
    ordering = ("at", "pk")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(SystemAlert)
class SystemAlertAdmin(LogAdmin):
    """The read-only admin of alerts. Staff change alerts through actions, which record the user and the time."""

    section = Section.ALERTING
    setting_title = "All alerts"
    list_display = (
        "title",
        "severity",
        "state",
        "age",
        "last_value",
        "occurrence_count",
        "opened_at",
        "is_read",
        "buttons",
    )
    list_filter = ("state", "severity", "alert_type", "source")
    search_fields = ("title", "message", "key")
    ordering = ("-opened_at", "-pk")
    date_hierarchy = "opened_at"
    actions = ("acknowledge", "dismiss", "mark_read", "resolve")
    inlines = (TimelineInline,)
    list_select_related = ("rule",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SystemAlert]:
        return app_access.limit(SystemAlert.objects.visible())

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.display(description="open for")
    def age(self, alert: SystemAlert) -> str:
        return formats.span(alert.duration(timezone.now()))

    @admin.display(description="value")
    def last_value(self, alert: SystemAlert) -> str:
        return format_value(alert.value, alert.unit) if alert.threshold is not None else ""

    @admin.display(description="read", boolean=True)
    def is_read(self, alert: SystemAlert) -> bool:
        return alert.read_at is not None

    @admin.display(description="")
    def buttons(self, alert: SystemAlert) -> SafeString:
        """Return buttons that acknowledge or dismiss the alert, or "" if the alert is not active.

        The buttons submit the form of the list, which contains the CSRF token, to another URL.
        """
        if not alert.is_active:
            return SafeString("")
        return format_html(
            '<button class="btn btn--small" formaction="{}">Acknowledge</button> '
            '<button class="btn btn--small" formaction="{}">Dismiss</button>',
            reverse("alerts:alert-acknowledge", args=[alert.pk]),
            reverse("alerts:alert-dismiss", args=[alert.pk]),
        )

    @admin.action(description="Acknowledge", permissions=["act"])
    def acknowledge(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.acknowledge, "acknowledged")

    @admin.action(description="Dismiss", permissions=["act"])
    def dismiss(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.dismiss, "dismissed")

    @admin.action(description="Mark read", permissions=["act"])
    def mark_read(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.mark_read, "marked read")

    @admin.action(description="Resolve", permissions=["act"])
    def resolve(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.resolve, "resolved")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_systemalert")

    def _act(
        self,
        request: HttpRequest,
        alerts: QuerySet[SystemAlert],
        act: Callable[..., int],
        word: str,
    ) -> None:
        changed = act(alerts, user=request.user, now=timezone.now())
        level = messages.SUCCESS if changed else messages.INFO
        self.message_user(request, f"{changed} of {len(alerts)} alerts {word}.", level)
