"""Define the application that granian serves, on granian's documented RSGI interface.

Ingestion is answered in the event loop, where thousands of requests may wait for the store without a thread each.
Django answers everything else as a WSGI application in a pool of threads. A request gets a thread only once its whole
body has arrived, so slow clients do not occupy threads. RSGI is specified in
https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

import asyncio
import logging
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from threading import BoundedSemaphore
from typing import IO, Any

from django.conf import settings
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]

from core.lib import request_id
from errors.exceptions import BodyTimeout, ClientDisconnected, TooLarge
from errors.ingest import handler
from errors.services.artifacts import MAX_SINGLE_FILE_BYTES
from opsportal.middleware.security_headers import HEADERS as SECURITY_HEADERS
from opsportal.server.heartbeat import Heartbeat
from opsportal.server.wsgi_calls import (
    Environ,
    Headers,
    WSGIApplication,
    WSGIResponse,
    environ_of,
    problem,
    run_wsgi,
)

log = logging.getLogger(__name__)

# The maximum number of requests that have or await a thread. Further requests get a 503.
MAX_WAITING = 4_000
# The maximum total size of the bodies of requests that have or await a thread.
MAX_WAITING_BYTES = 256 * 1024 * 1024


# A release file that is uploaded without chunks. Its body is written to the disk while it arrives.
_FILE_UPLOAD = re.compile(r"/+api/0/projects/[^/]+/[^/]+/releases/[^/]+/files/?")
# The other fields of the form need some space too.
MAX_UPLOAD_BYTES = MAX_SINGLE_FILE_BYTES + 64 * 1024
_TOO_LARGE = f"the file is larger than {MAX_SINGLE_FILE_BYTES // 2**20} MiB"
# An upload is refused if its announced size and the received parts of all running uploads exceed this together.
MAX_SPOOLED_BYTES = 512 * 1024 * 1024
UPLOAD_TIMEOUT_SECONDS = 600
SEND_TIMEOUT_SECONDS = 60  # Applies to each piece of a streamed response.
MAX_STREAMS = 4  # The maximum number of threads that send streamed responses at the same time.


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
        self._spooled_bytes = 0
        self._streams = BoundedSemaphore(MAX_STREAMS)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(partial(self._beat, loop, -1))

    def _beat(self, loop: asyncio.AbstractEventLoop, answered_before: int) -> None:
        """Report that the event loop runs and, if there is progress, that the threads answer requests.

        The threads make no progress if all of them are busy and none has finished a request since the last report.
        """
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
                answer = await self._answer_by_django(environ, protocol)
                if answer is None:  # The response was sent as a stream.
                    return
                status, headers, body = answer
        except ClientDisconnected:
            return
        protocol.response_bytes(status, headers, body)

    async def _answer_by_django(
        self, environ: Environ, protocol: HTTPProtocol
    ) -> WSGIResponse | None:
        if environ["REQUEST_METHOD"] == "POST" and _FILE_UPLOAD.fullmatch(environ["PATH_INFO"]):
            return await self._answer_upload(environ, protocol)
        try:
            body = await read_body(environ, protocol, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        except TooLarge:
            # The body is not needed: Django refuses the request because of its Content-Length.
            body = b""
        except BodyTimeout as error:
            return problem(408, "Request Timeout", str(error))
        return await self._run(environ, protocol, body)

    async def _answer_upload(self, environ: Environ, protocol: HTTPProtocol) -> WSGIResponse | None:
        """Write the body to a temporary file while it arrives, then answer the request.

        Return None if the response was sent as a stream. Raises ClientDisconnected.
        """
        length = environ.get("CONTENT_LENGTH") or "0"
        expected = int(length) if length.isdecimal() else 0
        if expected > MAX_UPLOAD_BYTES:
            return problem(413, "Content too large", _TOO_LARGE)
        if self._spooled_bytes + expected > MAX_SPOOLED_BYTES:
            detail = "Too many uploads are running. Try again in 30 seconds."
            return problem(503, "Service Unavailable", detail, ("Retry-After", "30"))
        size = 0
        with tempfile.TemporaryFile() as file:
            try:
                async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
                    async for piece in protocol:
                        size += len(piece)
                        self._spooled_bytes += len(piece)
                        if size > MAX_UPLOAD_BYTES:
                            return problem(413, "Content too large", _TOO_LARGE)
                        file.write(piece)
                environ["CONTENT_LENGTH"] = str(size)
                file.seek(0)
                return await self._run(environ, protocol, b"", file)
            except TimeoutError:
                return problem(408, "Request Timeout", "the body did not arrive in time")
            except ProtocolClosed:
                raise ClientDisconnected from None
            finally:
                self._spooled_bytes -= size

    async def _run(
        self, environ: Environ, protocol: HTTPProtocol, body: bytes, file: IO[bytes] | None = None
    ) -> WSGIResponse | None:
        """Call Django in a thread of the pool. Return its response, or None if it was sent as a stream.

        Return a 503 if too many requests have or await a thread.
        """
        if (
            self._waiting_count >= MAX_WAITING
            or self._waiting_bytes + len(body) > MAX_WAITING_BYTES
        ):
            detail = "Too many requests are being processed. Try again in 5 seconds."
            return problem(503, "Service Unavailable", detail, ("Retry-After", "5"))
        environ["wsgi.input"] = file or BytesIO(body)
        self._waiting_count += 1
        self._waiting_bytes += len(body)
        try:
            loop = asyncio.get_running_loop()
            open_stream = partial(self._open_stream, loop, protocol)
            return await loop.run_in_executor(
                self._threads, run_wsgi, self._django, environ, open_stream, self._streams
            )
        finally:
            self._waiting_count -= 1
            self._waiting_bytes -= len(body)
            self._answered_count += 1

    def _open_stream(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: HTTPProtocol,
        status: int,
        headers: Headers,
    ) -> Callable[[bytes], None]:
        """Begin a streamed response, and return a function that sends a piece of it.

        Threads call that function, which blocks until the server has accepted the piece.
        """

        async def begin() -> Any:
            return protocol.response_stream(status, headers)

        transport = asyncio.run_coroutine_threadsafe(begin(), loop).result(SEND_TIMEOUT_SECONDS)

        async def send(piece: bytes) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await transport.send_bytes(piece)
            self._answered_count += 1  # The heartbeat reads this counter.

        def send_from_thread(piece: bytes) -> None:
            asyncio.run_coroutine_threadsafe(send(piece), loop).result(2 * SEND_TIMEOUT_SECONDS)

        return send_from_thread


async def read_body(environ: Environ, protocol: HTTPProtocol, limit: int) -> bytes:
    """Return the body of the request. For a chunked body, set CONTENT_LENGTH in `environ`.

    Raises TooLarge if the body has more than `limit` bytes, BodyTimeout if it does not arrive within
    BODY_TIMEOUT_SECONDS, and ClientDisconnected if the client closes the connection.
    """
    length = environ.get("CONTENT_LENGTH")
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not is_chunked and (not length or length == "0"):
        return b""
    if not is_chunked and int(length or 0) > limit:
        raise TooLarge(f"the body is larger than {limit // (1024 * 1024)} MiB")
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
            raise TooLarge(f"the body is larger than {limit // (1024 * 1024)} MiB")
        pieces.append(piece)
    return b"".join(pieces)


_LIKE_INGESTION = re.compile(r"/+(?:api|tunnel)")


def _may_be_ingestion(path: str) -> bool:
    """Return False for nearly all paths that are not ingestion. This check is much cheaper than a full match."""
    return _LIKE_INGESTION.match(path) is not None


def _answer_liveness(scope: Scope, protocol: HTTPProtocol) -> None:
    """Answer /livez as its view does, but without a thread, because it must respond while all threads are busy."""
    headers = [
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("X-Request-ID", request_id.accept(scope.headers.get("x-request-id"))),
        *SECURITY_HEADERS.items(),
    ]
    protocol.response_bytes(200, headers, b'{"status":"alive"}')
