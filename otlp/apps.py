from django.apps import AppConfig


class OtlpConfig(AppConfig):
    name = "otlp"
    default_auto_field = "django.db.models.BigAutoField"
