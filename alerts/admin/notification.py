from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_ratelimit.core import is_ratelimited

from alerts import services
from alerts.models import DeliveryAttempt, Notification
from core.lib.admin import LogAdmin, PortalInline, Section


class AttemptInline(PortalInline):
    model = DeliveryAttempt
    fields = readonly_fields = ("number", "started_at", "duration_ms", "is_success", "answer")
    ordering = ("number", "pk")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Notification)
class NotificationAdmin(LogAdmin):
    section = Section.ALERTING
    list_display = (
        "created_at",
        "kind",
        "subject",
        "channel",
        "state",
        "attempt_count",
        "sent_at",
        "error",
    )
    list_filter = ("state", "kind", "channel")
    ordering = ("-created_at", "-pk")
    list_select_related = ("channel",)
    actions = ("resend",)
    inlines = (AttemptInline,)
    exclude = ("lease", "payload")
    readonly_fields = ("content", "merged_into")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.display(description="message")
    def subject(self, notification: Notification) -> str:
        return str(notification.payload.get("title", ""))[:100]

    @admin.display(description="message")
    def content(self, notification: Notification) -> str:
        return f"{notification.payload.get('title')}\n{notification.payload.get('text')}"

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, notifications: QuerySet[Notification]) -> None:
        if is_ratelimited(
            request, group="alerts.resend", key="user_or_ip", rate="20/m", increment=True
        ):
            self.message_user(
                request,
                "“Send again” can be used 20 times per minute. Try again shortly.",
                messages.WARNING,
            )
            return
        count = sum(services.resend(row, now=timezone.now()) for row in notifications[:100])
        self.message_user(
            request, f"{count} message{'' if count == 1 else 's'} will be sent again."
        )

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_notification")
