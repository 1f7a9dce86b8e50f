"""Run small servers on loopback that misbehave on purpose."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Behavior = Callable[[socket.socket, bytes], None]


class Loopback:
    """A server that passes each request to `behavior` and stores it in `requests`."""

    def __init__(self, behavior: Behavior) -> None:
        self.behavior = behavior
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := self._read_request(connection):
                self.requests.append(request)
                try:
                    self.behavior(connection, request)
                except OSError:
                    return

    @staticmethod
    def _read_request(connection: socket.socket) -> bytes:
        data = b""
        try:
            while b"\r\n\r\n" not in data:
                chunk = connection.recv(65536)
                if not chunk:
                    return b""
                data += chunk
            head, _, body = data.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            while len(body) < length:
                body += connection.recv(65536)
            return head + b"\r\n\r\n" + body
        except OSError:
            return b""

    def close(self) -> None:
        self._listener.close()


@contextmanager
def serving(behavior: Behavior) -> Iterator[Loopback]:
    server = Loopback(behavior)
    try:
        yield server
    finally:
        server.close()


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> Behavior:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode()
    return lambda connection, request: connection.sendall(head + body)


def answers(*behaviors: Behavior) -> Behavior:
    """Return a behavior that uses the given ones in turn, one per request, and then always the last one."""
    left = list(behaviors)

    def behave(connection: socket.socket, request: bytes) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection, request)

    return behave


def hang(connection: socket.socket, request: bytes) -> None:
    time.sleep(5)


def drip(connection: socket.socket, request: bytes) -> None:
    """Send endless headers one byte at a time, so that no single read times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.05)


def hang_up(connection: socket.socket, request: bytes) -> None:
    connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
