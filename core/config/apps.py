from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "core.config"
    label = "config"
    verbose_name = "Configuration as code"
