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
    """Create missing channels, alert types and rules after a migration."""
    from alerts.services.defaults import sync_defaults

    latest = Path(__file__).with_name("migrations") / "max_migration.txt"
    applied = MigrationRecorder(connection).applied_migrations()
    # After a migration back to an older state, tables or columns may be missing, so check that all migrations are
    # applied.
    if ("alerts", latest.read_text().strip()) in applied:
        sync_defaults()
