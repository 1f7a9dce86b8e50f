"""Backups (read-only)."""

from django.contrib import admin

from health.models import Backup
from opsportal.lib import formats
from opsportal.lib.admin import LogAdmin


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
