"""Run management commands in detached processes.

A backup may take longer than the time limit of a task.
"""

import subprocess
import sys
import threading
from pathlib import Path

from django.conf import settings


def run_command(*arguments: str) -> int:
    """Start `manage.py` with these arguments in a new session, and return the process id.

    The command itself must store its result, because the caller does not wait for it.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Without wait(), the finished process would stay in the process table as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid
