from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "opsportal.jobs"
    label = "jobs"
    verbose_name = "Scheduled jobs"
    default_auto_field = "django.db.models.BigAutoField"
