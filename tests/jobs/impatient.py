"""manage.py, but who does not answer is given up within seconds."""

import os
import sys

from django.core.management import execute_from_command_line

from opsportal.jobs import liveness

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    liveness.EVERY = liveness.SOON = 0.2
    liveness.TIMEOUT = 1.0
    liveness.MAY_START_FOR = 30.0  # it may hang before the watch has had its first answer
    execute_from_command_line(sys.argv)
