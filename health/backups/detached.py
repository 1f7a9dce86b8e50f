"""Run management commands in the background, because a backup may take longer than the time limit of a task."""

import subprocess
import sys
import threading
from pathlib import Path

from django.conf import settings


def run_command(*arguments: str) -> int:
    """Start `manage.py …` in a session of its own and return its process id. The command itself stores its result."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Without a wait(), the finished process would remain a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid
