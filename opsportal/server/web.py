"""Run the web server of a node for `serve`."""

import asyncio
import multiprocessing
import resource

from django.conf import settings
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from core.lib import background, ratelimit
from core.lib.processes import collect_rarely, freeze_objects
from opsportal.server.heartbeat import Heartbeat
from opsportal.server.rsgi import Application
from opsportal.server.wsgi_calls import WSGIApplication

# Besides client connections, the process opens files for databases, logs and outbound calls.
OTHER_FILES = 512

application: Application  # granian looks up this name in the process that it forks.


class _Served(Application):
    """The application in the process that granian has forked. It starts the threads, which do not survive a fork."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        ratelimit.warm()
        background.start()
        freeze_objects()
        collect_rarely()
        super().__rsgi_init__(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The process that granian has forked exits without calling `atexit` functions.
        background.run_last_chores()


def run(
    django: WSGIApplication, host: str, port: int, *, threads: int, heartbeat: Heartbeat
) -> None:
    """Serve requests until SIGTERM or SIGINT, in a child process that Granian forks."""
    global application
    # A forked child shares the memory of the modules that are loaded here.
    multiprocessing.set_start_method("fork", force=True)
    application = _Served(django, threads=threads, heartbeat=heartbeat)
    # One process serves all requests, so that its threads share caches, rate limits and the group commit of ingestion.
    # `backpressure` is the maximum number of open connections; further connections wait in the kernel's backlog until
    # idle connections are closed.
    Granian(
        f"{__name__}:application",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        backpressure=raise_file_limit(settings.MAX_CONNECTIONS + OTHER_FILES) - OTHER_FILES,
        backlog=2048,
        http1_settings=HTTP1Settings(header_read_timeout=settings.HEADER_TIMEOUT_SECONDS * 1000),
        log_level=LogLevels.error,
        workers_kill_timeout=10,
    ).serve()


def raise_file_limit(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted`, or as far as allowed.

    Return `wanted`, or the hard limit if that is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
