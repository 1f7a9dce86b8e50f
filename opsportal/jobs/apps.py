import logging

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "opsportal.jobs"
    label = "jobs"
    verbose_name = "Scheduled jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # django-q2 brings a handler of its own and a line per task; ours keeps its warnings.
        logger = logging.getLogger("django-q")
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
