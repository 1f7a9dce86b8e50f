from django.apps import AppConfig


class LimitsConfig(AppConfig):
    name = "core.limits"
    label = "limits"
    verbose_name = "Rate limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from core.limits import tiers

        tiers.connect_signals()
