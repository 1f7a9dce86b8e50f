from pathlib import Path

from django.apps import AppConfig
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate


class AlertsConfig(AppConfig):
    name = "alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(seed, sender=self, dispatch_uid="alerts.seed")


def seed(**signal: object) -> None:
    """Create rows for channels, types and rules from code after a migration."""
    from alerts.services.defaults import sync_defaults

    latest = Path(__file__).with_name("migrations") / "max_migration.txt"
    applied = MigrationRecorder(connection).applied_migrations()
    if (
        "alerts",
        latest.read_text().strip(),
    ) in applied:  # This does not apply when migrating back to an older state.
        sync_defaults()
