"""The admin's look and the bases every app's admin shares."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest


class PortalAdminSite(admin.AdminSite):
    """Django's admin in our chrome: our navigation (templates/portal/_nav.html) instead of its sidebar."""

    site_title = "opsportal"
    site_header = "opsportal"
    index_title = "All records and settings"
    enable_nav_sidebar = False


class LogAdmin(admin.ModelAdmin[Any]):
    """For rows the portal writes and people only read: no add, no change, no exact count on big tables."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
