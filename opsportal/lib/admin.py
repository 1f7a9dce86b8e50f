"""The admin's look and the bases every app's admin shares."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest


class PortalAdminSite(admin.AdminSite):
    site_title = "opsportal"
    site_header = "opsportal"
    index_title = "Everything staff work with"


class LogAdmin(admin.ModelAdmin[Any]):
    """For rows the portal writes and people only read: no add, no change, no exact count on big tables."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
