from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "health"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from health import (
            checks,
            dashboard,
            last_resort,  # noqa: F401  its chore is registered by importing it
            metrics_registry,
        )

        checks.registry.autodiscover()
        dashboard.registry.autodiscover()
        metrics_registry.registry.autodiscover()
