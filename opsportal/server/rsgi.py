"""The application that granian serves, on its documented RSGI interface.

Ingestion is answered in the event loop, where thousands of requests may wait for the store without a thread each.
Everything else is answered by Django, which runs as a WSGI application in a pool of threads; a thread is taken only
once the whole body has arrived, so that slow clients occupy none. The specification of RSGI:
https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

from django.conf import settings
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]

from core.lib import request_id
from errors.exceptions import BodyTimeout, ClientDisconnected, TooLarge
from errors.ingest import handler
from opsportal.middleware.security_headers import HEADERS as SECURITY_HEADERS
from opsportal.server.heartbeat import Heartbeat

log = logging.getLogger(__name__)

Environ = dict[str, Any]
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
WSGIResponse = tuple[int, list[tuple[str, str]], bytes]

# maximum number of requests that have or await a thread; a further request gets a 503
MAX_WAITING = 4_000
MAX_WAITING_BYTES = 256 * 1024 * 1024  # maximum size of the bodies of these requests


class Application:
    """The application that answers every request of a web process. It reports progress to `heartbeat`."""

    def __init__(self, django: WSGIApplication, *, threads: int, heartbeat: Heartbeat) -> None:
        self._django = django
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._thread_count = threads
        self._heartbeat = heartbeat
        self._waiting_count = 0
        self._waiting_bytes = 0
        self._answered_count = 0

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(partial(self._beat, loop, -1))

    def _beat(self, loop: asyncio.AbstractEventLoop, answered_before: int) -> None:
        """Report that the event loop runs, and that the threads do unless all are busy and none has finished any."""
        has_idle_thread = self._waiting_count < self._thread_count
        has_progress = has_idle_thread or self._answered_count != answered_before
        self._heartbeat.beat(threads=has_progress)
        loop.call_later(Heartbeat.INTERVAL_SECONDS, partial(self._beat, loop, self._answered_count))

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.path == "/livez" and scope.method in ("GET", "HEAD"):
            _answer_liveness(scope, protocol)
            return
        environ = environ_of(scope)
        address = handler.match(scope.path) if _may_be_ingestion(scope.path) else None
        try:
            if address is not None:
                read = partial(read_body, environ, protocol)
                status, headers, body = await handler.handle(environ, address, read)
            else:
                status, headers, body = await self._answer_by_django(environ, protocol)
        except ClientDisconnected:
            return
        protocol.response_bytes(status, headers, body)

    async def _answer_by_django(self, environ: Environ, protocol: HTTPProtocol) -> WSGIResponse:
        try:
            body = await read_body(environ, protocol, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        except TooLarge:
            body = b""  # Django refuses the request by its Content-Length, with a page or a problem document
        except BodyTimeout as error:
            return _problem(408, "Request Timeout", str(error))
        if (
            self._waiting_count >= MAX_WAITING
            or self._waiting_bytes + len(body) > MAX_WAITING_BYTES
        ):
            detail = "Too many requests are being answered. Try again in 5 seconds."
            return _problem(503, "Service Unavailable", detail, ("Retry-After", "5"))
        environ["wsgi.input"] = BytesIO(body)
        self._waiting_count += 1
        self._waiting_bytes += len(body)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, run_wsgi, self._django, environ)
        finally:
            self._waiting_count -= 1
            self._waiting_bytes -= len(body)
            self._answered_count += 1


def run_wsgi(application: WSGIApplication, environ: Environ) -> WSGIResponse:
    """Call a WSGI application and return its response as a whole, because the portal has no very large responses."""
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        started[:] = [(int(status[:3]), headers)]

    try:
        response = application(environ, start_response)
        try:
            body = b"".join(response)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()
    # Django answers its own exceptions, so this one comes from the code around it
    except Exception:
        log.exception("a request was not answered")
        return _problem(500, "Internal Server Error", "The portal failed to answer.")
    return *started[0], body


async def read_body(environ: Environ, protocol: HTTPProtocol, limit: int) -> bytes:
    """Return the request's body. A chunked one gets a CONTENT_LENGTH.

    Raises TooLarge over `limit` bytes, BodyTimeout if it does not arrive within BODY_TIMEOUT_SECONDS,
    ClientDisconnected.
    """
    length = environ.get("CONTENT_LENGTH")
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not is_chunked and (not length or length == "0"):
        return b""
    if not is_chunked and int(length or 0) > limit:
        raise TooLarge(f"the body is over {limit // (1024 * 1024)} MiB")
    try:
        async with asyncio.timeout(settings.BODY_TIMEOUT_SECONDS):
            body = await (_read_chunked(protocol, limit) if is_chunked else protocol())
    except TimeoutError:
        raise BodyTimeout("the body did not arrive in time") from None
    except ProtocolClosed:
        raise ClientDisconnected from None
    except TooLarge:
        environ["CONTENT_LENGTH"] = str(limit + 1)
        raise
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


async def _read_chunked(protocol: HTTPProtocol, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in protocol:
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body is over {limit // (1024 * 1024)} MiB")
        pieces.append(piece)
    return b"".join(pieces)


_LIKE_INGESTION = re.compile(r"/+(?:api|tunnel)")


def _may_be_ingestion(path: str) -> bool:
    """Return False for nearly all paths that are not ingestion, at a fraction of the cost of matching them."""
    return _LIKE_INGESTION.match(path) is not None


@lru_cache(maxsize=1_000)
def _environ_name(header: str) -> str:
    """Return the WSGI name of a header, or "" for one with an underscore, which could imitate another header."""
    if "_" in header:
        return ""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def environ_of(scope: Scope) -> Environ:
    """Return the WSGI environ (PEP 3333) of a request, without its body."""
    server_name, _, server_port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # WSGI requires the bytes of the path decoded as Latin-1; RSGI has decoded them as UTF-8.
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "SERVER_PROTOCOL": "HTTP/1.1" if scope.http_version == "1.1" else "HTTP/1.0",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for header, value in scope.headers.items():
        name = _environ_name(header)
        if name in environ:
            separator = "; " if name == "HTTP_COOKIE" else ","
            environ[name] = f"{environ[name]}{separator}{value}"
        elif name:
            environ[name] = value
    return environ


def _answer_liveness(scope: Scope, protocol: HTTPProtocol) -> None:
    """Answer /livez like its view does, but without a thread, because it must respond while all threads are busy."""
    headers = [
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("X-Request-ID", request_id.accept(scope.headers.get("x-request-id"))),
        *SECURITY_HEADERS.items(),
    ]
    protocol.response_bytes(200, headers, b'{"status":"alive"}')


def _problem(status: int, title: str, detail: str, *headers: tuple[str, str]) -> WSGIResponse:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    all_headers = [("Content-Type", "application/problem+json"), *headers, *SECURITY_HEADERS.items()]  # fmt: skip
    return status, all_headers, json.dumps(body).encode()
