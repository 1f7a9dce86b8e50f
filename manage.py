#!/usr/bin/env python3
import os
import sys

if __name__ == "__main__":
    os.umask(
        0o077
    )  # files of the portal contain personal data and secrets: only its own user may read them
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018 - reads the settings
    except ImproperlyConfigured as error:
        sys.exit(f"opsportal cannot start: {error}")
    execute_from_command_line(sys.argv)
