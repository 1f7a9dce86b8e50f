"""Define the read-only admin of backups."""

from django.contrib import admin

from core.lib import formats
from core.lib.admin import LogAdmin
from health.models import Backup


@admin.register(Backup)
class BackupAdmin(LogAdmin):
    setting_purpose = "Daily copies of the database, and whether they could be restored."
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
