import logging

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "core.jobs"
    label = "jobs"
    verbose_name = "Scheduled jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # django-q2 adds its own handler and logs a line per task.
        # The portal's handlers are used instead, for warnings only.
        logger = logging.getLogger("django-q")
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
