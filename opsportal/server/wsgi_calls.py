"""Call a WSGI application for an RSGI request: build its environ, and return its response as a whole or as a stream."""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import BoundedSemaphore
from typing import Any

from django.http import FileResponse
from granian.rsgi import ProtocolClosed, Scope  # type: ignore[attr-defined]

from opsportal.middleware.security_headers import HEADERS as SECURITY_HEADERS

log = logging.getLogger(__name__)

Environ = dict[str, Any]
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]
WSGIResponse = tuple[int, Headers, bytes]
# Begins a streamed response with the given status and headers, and returns the function that sends a piece of the body.
OpenStream = Callable[[int, Headers], Callable[[bytes], None]]


@lru_cache(maxsize=1_000)
def _environ_name(header: str) -> str:
    """Return the WSGI name of a header. Return "" for a name with an underscore, which could imitate another header."""
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


def run_wsgi(
    application: WSGIApplication,
    environ: Environ,
    open_stream: OpenStream | None = None,
    streams: BoundedSemaphore | None = None,
) -> WSGIResponse | None:
    """Call a WSGI application and return its response as a whole, or None if it was sent as a stream.

    A stream is a response of unknown length, such as an export, which may not fit into memory. A stream occupies its
    thread until the client has received the response, so `streams` limits the number of concurrent streams.
    """
    started: list[tuple[int, Headers]] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None) -> None:
        started[:] = [(int(status[:3]), headers)]

    try:
        response = application(environ, start_response)
        try:
            if open_stream is not None and streams is not None and _is_stream(response, *started):
                return _send_stream(response, *started[0], open_stream, streams)
            body = b"".join(response)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()
    except Exception:
        # Django handles its own exceptions, so the code around it must have raised this one.
        log.exception("a request was not answered")
        return problem(500, "Internal Server Error", "The portal failed to respond. Try again.")
    return *started[0], body


def _is_stream(response: Iterable[bytes], started: tuple[int, Headers]) -> bool:
    has_length = any(name.lower() == "content-length" for name, _ in started[1])
    # WhiteNoise returns a FileResponse without a length for responses without a body, such as a 304.
    is_file = isinstance(response, FileResponse)
    return bool(getattr(response, "streaming", False)) and not has_length and not is_file


def _send_stream(
    response: Iterable[bytes],
    status: int,
    headers: Headers,
    open_stream: OpenStream,
    streams: BoundedSemaphore,
) -> WSGIResponse | None:
    """Send the response in pieces. Return None, or a 503 if too many responses are being streamed."""
    if not streams.acquire(blocking=False):
        detail = "Too many exports are running. Try again in 30 seconds."
        return problem(503, "Service Unavailable", detail, ("Retry-After", "30"))
    try:
        send = open_stream(status, headers)
        for piece in response:
            send(piece)
    except (ProtocolClosed, TimeoutError):
        log.info("a client closed the connection or stopped reading during a streamed response")
    except Exception:
        log.exception("a streamed response ended early")
    finally:
        streams.release()
    return None


def problem(status: int, title: str, detail: str, *headers: tuple[str, str]) -> WSGIResponse:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    all_headers = [("Content-Type", "application/problem+json"), *headers, *SECURITY_HEADERS.items()]  # fmt: skip
    return status, all_headers, json.dumps(body).encode()
