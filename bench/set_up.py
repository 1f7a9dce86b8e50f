"""Set up Django with production settings for benchmarks that call the portal's code in their own process."""

import os

import django

from core.lib.processes import collect_rarely, freeze_objects


def set_up_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    os.environ.setdefault(
        "STATICFILES_STORAGE", "django.contrib.staticfiles.storage.StaticFilesStorage"
    )
    django.setup()
    _collect_garbage_as_the_portal_does()


def _collect_garbage_as_the_portal_does() -> None:
    """Load the pages and freeze all objects, so that no measurement includes a garbage collection of all objects."""
    from django.urls import get_resolver

    get_resolver().url_patterns  # noqa: B018
    freeze_objects()
    collect_rarely()
