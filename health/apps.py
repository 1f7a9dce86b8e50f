from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "health"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from health import checks, dashboard, metrics_registry

        checks.registry.autodiscover()
        dashboard.registry.autodiscover()
        metrics_registry.registry.autodiscover()
