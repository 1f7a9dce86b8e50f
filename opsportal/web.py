"""The web server of a node, as `serve` runs it."""

import multiprocessing
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import mp

from errors.views import ingest

Call = Callable[[Any, dict[str, Any]], Any]  # granian's protocol for one request, the request


def _answering_when_stored(wsgi: Callable[..., Call]) -> Callable[..., Call]:
    """granian's wrapper around a WSGI application, for all that is not ingestion.

    WSGI has no way to answer later than the call returns, and granian's own protocol, which can, is not open to WSGI
    applications: so its wrapper is wrapped. A test sees to it that this still holds with the granian that is installed.
    """

    def wrapper(*arguments: Any) -> Call:
        others = wsgi(*arguments)

        def call(protocol: Any, request: dict[str, Any]) -> None:
            request["wsgi.input_terminated"] = True
            if not ingest.answer_when_stored(request, protocol.response_bytes):
                others(protocol, request)

        return call

    return wrapper


def run(host: str, port: int, threads: int) -> None:
    """Serve until SIGTERM or SIGINT; granian does so in a child of this process."""
    multiprocessing.set_start_method("fork", force=True)  # what is loaded here is shared with it
    mp._wsgi_call_wrap = _answering_when_stored(mp._wsgi_call_wrap)  # type: ignore[attr-defined]
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
