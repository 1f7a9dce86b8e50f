"""Run many HTTP clients in one event loop, each with its own connection."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any


class Connection:
    """A keep-alive connection that sends requests and reads responses in an event loop."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of the response."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, fields = head.decode("latin-1").split("\r\n", 1)
        length = next(
            int(line.partition(":")[2])
            for line in fields.split("\r\n")
            if line.lower().startswith("content-length:")
        )
        return int(status.split()[1]), await self.reader.readexactly(length)


async def open_many(port: int, count: int) -> list[Connection]:
    """Open `count` connections in batches of 250, and return them."""
    connections: list[Connection] = []
    while len(connections) < count:
        batch_size = min(250, count - len(connections))
        connections += await asyncio.gather(*(Connection(port).open() for _ in range(batch_size)))
    return connections


def close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.writer.close()


async def probe_liveness(port: int, stop: asyncio.Event) -> list[float]:
    """Request /livez on a new connection ten times a second until `stop` is set. Return each duration in seconds."""
    loop, times = asyncio.get_running_loop(), []
    while not stop.is_set():
        began = loop.time()
        async with asyncio.timeout(10):
            connection = await Connection(port).open()
            status, _ = await connection.request("GET", "/livez")
            close([connection])
        assert status == 200
        times.append(loop.time() - began)
        await asyncio.sleep(0.1)
    return times
