"""Long work that a worker starts and does not wait for: a backup may take longer than a task may."""

import subprocess
import sys
import threading
from pathlib import Path

from django.conf import settings


def run_command(*arguments: str) -> int:
    """Start `manage.py …` in a session of its own. Returns its pid; what comes of it is in the database."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Nobody asks how it ended, but somebody must, or it stays a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid
