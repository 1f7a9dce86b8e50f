from django.apps import AppConfig


class ClientsConfig(AppConfig):
    name = "core.clients"
    label = "clients"
    verbose_name = "Apps"
    default_auto_field = "django.db.models.BigAutoField"
