"""Run manage.py with a supervisor that has short timeouts and a web process that tests can block.

`/hang/loop` blocks the event loop, and `/hang/thread` blocks one request thread. `/slow/write` occupies a thread for
5 s, and creates one file at its beginning and another one at its end.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")


def hang_on_request() -> None:
    from core.lib import processes
    from opsportal.server import heartbeat, rsgi, wsgi_calls

    processes.Child.next_backoff_seconds = lambda self: 0.1  # type: ignore[method-assign]
    heartbeat.LOOP_TIMEOUT_SECONDS = 3.0
    heartbeat.THREADS_TIMEOUT_SECONDS = 4.0
    heartbeat.START_TIMEOUT_SECONDS = 30.0
    handle, run_wsgi = rsgi.Application.__rsgi__, wsgi_calls.run_wsgi

    async def blocking(self: Any, scope: Any, protocol: Any) -> None:
        if scope.path == "/hang/loop":
            time.sleep(3600)
        await handle(self, scope, protocol)

    def hanging(application: Any, environ: dict[str, Any], *more: Any) -> Any:
        if environ["PATH_INFO"] == "/hang/thread":
            time.sleep(3600)
        if environ["PATH_INFO"] == "/slow/write":
            folder = Path(os.environ["DATA_DIR"])
            (folder / "slow.begun").touch()
            time.sleep(5)
            (folder / "slow.done").touch()
        return run_wsgi(application, environ, *more)

    rsgi.Application.__rsgi__ = blocking  # type: ignore[method-assign]
    rsgi.run_wsgi = hanging  # type: ignore[assignment, attr-defined]


if __name__ == "__main__":
    import django

    django.setup()
    hang_on_request()
    execute_from_command_line(sys.argv)
