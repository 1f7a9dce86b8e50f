from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from alerts import impact, rules

        rules.registry.autodiscover()
        impact.registry.autodiscover()
