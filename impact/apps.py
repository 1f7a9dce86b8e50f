from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ImpactConfig(AppConfig):
    name = "impact"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from impact.triggers import create_triggers

        # Create the triggers after the migrations of every app, because a migration may copy a table without triggers.
        post_migrate.connect(create_triggers, dispatch_uid="impact.triggers")
