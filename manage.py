#!/usr/bin/env python3
"""Run a command of the portal with the Python of `.venv`, regardless of the Python that starts this file."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")


def use_virtual_environment() -> None:
    """Start this file again with the Python of `.venv`, unless this Python has Django in a virtual environment.

    The operating system's Django may have another version than the portal requires.
    """
    is_installed = importlib.util.find_spec("django") is not None
    if is_installed and sys.prefix != sys.base_prefix:
        return
    python = os.path.join(VENV, "bin", "python")
    if os.path.exists(python) and os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        os.execv(python, [python, *sys.argv])  # noqa: S606 - our own program
    if not is_installed:
        sys.exit(
            "opsportal is not installed yet. To install and start it, type:\n"
            f"cd {ROOT} && make run\n"
            "To install it without starting it, type:\n"
            f"cd {ROOT} && python3 scripts/bootstrap.py run"
        )


if __name__ == "__main__":
    use_virtual_environment()
    # The portal's files contain personal data and secrets, so only its own user may read them.
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018 - reads the settings
    except ImproperlyConfigured as error:
        sys.exit(f"opsportal cannot start: {error}")
    execute_from_command_line(sys.argv)
