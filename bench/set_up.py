"""Set up Django with production settings for benchmarks that call the portal's code in their own process."""

import os

import django


def set_up_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    os.environ.setdefault(
        "STATICFILES_STORAGE", "django.contrib.staticfiles.storage.StaticFilesStorage"
    )
    django.setup()
