"""The web server of a node, as `serve` runs it."""

import multiprocessing

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels


def run(host: str, port: int, threads: int) -> None:
    """Serve until SIGTERM or SIGINT; granian does so in a child of this process."""
    multiprocessing.set_start_method("fork", force=True)  # what is loaded here is shared with it
    # One process: threads share caches, rate limits and the group commit of ingestion. More than `backpressure`
    # requests at once wait in the kernel's backlog.
    Granian(
        "opsportal.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        blocking_threads=threads,
        backpressure=threads * 4,
        backlog=2048,
        http1_settings=HTTP1Settings(),
        log_level=LogLevels.error,
        workers_kill_timeout=10,
    ).serve()
