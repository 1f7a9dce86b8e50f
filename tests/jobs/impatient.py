"""manage.py with short timeouts for processes that do not respond."""

import os
import sys

from django.core.management import execute_from_command_line

from opsportal.jobs import liveness

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    liveness.EVERY = liveness.SOON = 0.2
    liveness.TIMEOUT = 1.0
    liveness.MAY_START_FOR = 30.0  # The process may hang before its first response.
    execute_from_command_line(sys.argv)
