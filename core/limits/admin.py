from django.contrib import admin

from core.lib.admin import LogAdmin, PortalAdmin
from core.limits.models import BlockedCall, RateLimitTier


@admin.register(RateLimitTier)
class RateLimitTierAdmin(PortalAdmin):
    setting_title = "Rate limits"
    setting_purpose = "The number of requests that apps, users and addresses may send."
    constraint_messages = {
        "a_window_is_at_least_a_second": ("window_seconds", "Enter 1 second or more."),
        "one_limit_a_tier_for_everybody": ("tier", "These calls already have a default limit."),
        "one_limit_a_tier_and_app": ("tier", "These calls of the app already have a limit."),
    }
    list_display = ["tier", "app", "limit", "window_seconds", "is_enabled"]
    list_editable = ["limit", "window_seconds", "is_enabled"]
    list_filter = ["tier"]
    list_select_related = ["app"]
    empty_value_display = "default"


@admin.register(BlockedCall)
class BlockedCallAdmin(LogAdmin):
    setting_title = "Rejected calls"
    list_display = ["minute", "tier", "subject", "count", "path"]
    list_filter = ["tier", "minute"]
    search_fields = ["subject", "path"]
    date_hierarchy = "minute"
