from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "core.accounts"
    label = "access"
    verbose_name = "People and access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from core.accounts.services import audit, sessions, two_factor

        audit.connect_signals()
        sessions.connect_signals()
        two_factor.connect_signals()
