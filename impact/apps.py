from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ImpactConfig(AppConfig):
    name = "impact"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from impact.triggers import create_triggers

        # After every app's migrations, because each may copy a table of its own.
        post_migrate.connect(create_triggers, dispatch_uid="impact.triggers")
