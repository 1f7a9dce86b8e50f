"""Run an HTTP proxy on loopback that connects to public or allowed addresses only.

The proxy guards libraries and programs that make their requests themselves. They run in a separate process, which may
connect only to the proxy. Each proxy serves one such process, which authenticates with the proxy's password.
"""

import base64
import contextlib
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from core.lib.outbound import guard
from core.lib.outbound.exceptions import ForbiddenAddress

MAX_HEAD_BYTES = 64 * 1024
MAX_REPLY_BYTES = 4 << 20
_CONNECT_SECONDS = 5.0
# These headers are for the proxy itself. Each request uses a new connection
# to a server, because the next request may go to another server.
_NOT_FORWARDED = (b"proxy-", b"connection:", b"keep-alive:")


class ForwardProxy:
    """A context manager that runs the proxy, and that ends all connections `seconds` after its creation."""

    def __init__(self, seconds: float) -> None:
        # The reasons why requests failed, such as addresses that could not be reached, oldest first.
        self.problems: list[str] = []
        self.is_forbidden = False  # Set to True when an address is refused.
        self._ends_at = time.monotonic() + seconds
        self._password = secrets.token_urlsafe(24)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_closed = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://opsportal:{self._password}@127.0.0.1:{self.port}"

    def __enter__(self) -> "ForwardProxy":
        threading.Thread(target=self._serve, name="forward proxy", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._handle, args=(client,), name="forward proxy client", daemon=True
            ).start()

    def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(max(0.1, self._ends_at - time.monotonic()))
            head, rest = _read_head(client)
            lines = head.split(b"\r\n")
            method, target, *_ = lines[0].decode("latin-1").split(" ")
            credentials = base64.b64encode(f"opsportal:{self._password}".encode())
            if not any(
                line.lower().startswith(b"proxy-authorization:") and line.endswith(credentials)
                for line in lines[1:]
            ):
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            try:
                server = self._connect(target if method == "CONNECT" else target.strip())
            except ForbiddenAddress as error:
                self.is_forbidden = True
                self._refuse(client, str(error))
                return
            except OSError as error:
                self._refuse(client, str(error) or type(error).__name__)
                return
            with server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    server.sendall(rest)
                else:
                    server.sendall(_forwarded_head(lines, method, target) + rest)
                self._relay(client, server, is_tunnel=method == "CONNECT")

    def _refuse(self, client: socket.socket, problem: str) -> None:
        self.problems.append(problem)
        client.sendall(
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )

    def _connect(self, target: str) -> socket.socket:
        parts = urlsplit(target if "://" in target else f"//{target}")
        try:
            host, port = parts.hostname or "", parts.port or 80
        except ValueError as error:
            raise ForbiddenAddress(f"not a URL: {error}") from error
        if parts.scheme not in ("", "http") or not host:
            raise ForbiddenAddress("only http:// and https:// URLs are supported")
        guard.check_port(port)
        seconds = min(_CONNECT_SECONDS, self._ends_at - time.monotonic())
        return guard.connect(host, port, max(seconds, 0.001))

    def _relay(self, client: socket.socket, server: socket.socket, *, is_tunnel: bool) -> None:
        """Forward data in both directions until one side closes its connection.

        The body of a request may arrive after its head, so both directions are open from the start.
        """
        received = 0
        start = b""  # The beginning of the response until its first line is complete.
        is_started = is_tunnel
        other = {client: server, server: client}
        while (left := self._ends_at - time.monotonic()) > 0 and not self._is_closed:
            readable, _, _ = select.select([client, server], [], [], min(left, 0.5))
            for source in readable:
                data = source.recv(65536)
                if not data:
                    return
                received += len(data) if source is server else 0
                if received > MAX_REPLY_BYTES:
                    self.problems.append("the response is too large")
                    return
                if source is server and not is_started:
                    start += data
                    if b"\r\n" not in start:
                        continue
                    # Make the client use a new connection for its next request, which may be for another server.
                    data = start.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                    is_started = True
                other[source].sendall(data)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of the request and the bytes after it. Raises OSError if it is incomplete or too large."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(65536)
        received += data
        if not data or len(received) > MAX_HEAD_BYTES:
            raise OSError("not a request")
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _forwarded_head(lines: list[bytes], method: str, target: str) -> bytes:
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def kept() -> Iterator[bytes]:
        yield f"{method} {path} HTTP/1.1".encode("latin-1")
        for line in lines[1:]:
            if not line.lower().startswith(_NOT_FORWARDED):
                yield line
        yield b"Connection: close"

    return b"\r\n".join(kept()) + b"\r\n\r\n"
