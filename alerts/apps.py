from pathlib import Path

from django.apps import AppConfig
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate


class AlertsConfig(AppConfig):
    name = "alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from alerts import digest, impact, instant_checks, metric_readers, reports, rules

        rules.registry.autodiscover()
        impact.registry.autodiscover()
        metric_readers.registry.autodiscover()
        digest.registry.autodiscover()
        reports.registry.autodiscover()
        instant_checks.registry.autodiscover()
        post_migrate.connect(seed, sender=self, dispatch_uid="alerts.seed")


def seed(**signal: object) -> None:
    """After migrating, the channels, types and rules that the code knows have their rows."""
    from alerts.services.defaults import sync_defaults

    newest = Path(__file__).with_name("migrations") / "max_migration.txt"
    done = MigrationRecorder(connection).applied_migrations()
    if ("alerts", newest.read_text().strip()) in done:  # not on the way to an older state
        sync_defaults()
