"""Run the store process, which compresses and commits one batch while a web process parses the next batch.

Parsing and committing are CPU-bound, and separate processes can each use a core (docs/performance.md has figures under
"Which processes accept errors"). `manage.py serve` starts the store process and keeps it running. The process listens
on a Unix socket that only the portal's user may open. While the store process is unavailable, each web process commits
its batches itself, in a thread.

Messages in both directions are encoded with msgpack and preceded by their length.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from errors.event.new_event import NewEvent
from errors.exceptions import NotStorable, StoreDisconnected, Unavailable
from errors.store.commit import Events, Outcome, commit
from errors.store.write import BatchResult

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
_LENGTH = struct.Struct("<Q")
_BUFFER_BYTES = 1024 * 1024
_POLL_SECONDS = 0.25  # Maximum delay before the process notices a signal to stop.


class _WireOutcome(msgspec.Struct, array_like=True):
    """The serializable form of an Outcome, which the store process sends to the web process."""

    result: BatchResult | None = None
    problem: str = ""
    is_temporary: bool = False

    @classmethod
    def of(cls, outcome: Outcome) -> "_WireOutcome":
        if isinstance(outcome, BatchResult):
            return cls(outcome)
        return cls(None, str(outcome), isinstance(outcome, Unavailable))

    def outcome(self) -> Outcome:
        if self.result is not None:
            return self.result
        return Unavailable(self.problem) if self.is_temporary else NotStorable(self.problem)


_encode = msgspec.msgpack.Encoder().encode
_decode_requests = msgspec.msgpack.Decoder(list[list[NewEvent]]).decode
_decode_outcomes = msgspec.msgpack.Decoder(list[_WireOutcome]).decode


class StoreClient:
    """A client that commits batches in the store process or, while it is unavailable, in a thread of this process."""

    def __init__(self, address: Path | None) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reconnect_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="errors.store.commit")

    async def commit(self, requests: Sequence[Events]) -> list[Outcome]:
        """Commit a batch, and return one outcome per request, in order. Only one batch may be in progress at a time."""
        if await self._connect():
            try:
                return await self._exchange(requests)
            except (OSError, asyncio.IncompleteReadError):
                self._disconnect()
                # The batch may already be committed. Committing it again is safe, because the store ignores events
                # that are already stored.
                log.warning("the store process has ended; its last batch is committed here")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, commit, requests)

    async def _connect(self) -> bool:
        """Return True if the store process is connected.

        Connect first if necessary, but try at most once every RECONNECT_SECONDS.
        """
        if self._streams is None and self._address and time.monotonic() >= self._reconnect_at:
            self._reconnect_at = time.monotonic() + RECONNECT_SECONDS
            try:
                self._streams = await asyncio.open_unix_connection(self._address)
            except OSError:
                return False
        return self._streams is not None

    def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, requests: Sequence[Events]) -> list[Outcome]:
        assert self._streams is not None
        reader, writer = self._streams
        message = _encode(requests)
        writer.write(_LENGTH.pack(len(message)) + message)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return [sent.outcome() for sent in _decode_outcomes(await reader.readexactly(length))]


class _Connection:
    """The store process's end of a connection. It transfers whole messages, or raises StoreDisconnected."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def send(self, message: bytes) -> None:
        try:
            self._end.sendall(_LENGTH.pack(len(message)) + message)
        except OSError as error:
            raise StoreDisconnected(str(error)) from None

    def receive(self) -> bytearray:
        (length,) = _LENGTH.unpack(self._receive_exactly(_LENGTH.size))
        return self._receive_exactly(length)

    def _receive_exactly(self, size: int) -> bytearray:
        buffer = bytearray(size)
        rest = memoryview(buffer)
        try:
            while rest:
                count = self._end.recv_into(rest)
                if not count:
                    raise StoreDisconnected("the connection is closed")
                rest = rest[count:]
        except OSError as error:
            raise StoreDisconnected(str(error)) from None
        return buffer


class StoreProcess:
    """The process that commits batches. After SIGTERM or SIGINT, it stops once no web process is connected."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._should_stop = False
        self._connections: dict[int, _Connection] = {}
        self._poll = select.poll()

    def run(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._end)
        self._address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            umask = os.umask(0o177)
            try:
                listener.bind(str(self._address))
            finally:
                os.umask(umask)
            listener.listen()
            self._poll.register(listener, select.POLLIN)
            try:
                while self._connections or not self._should_stop:
                    self._serve(listener)
            finally:
                self._address.unlink(missing_ok=True)

    def _end(self, *_: object) -> None:
        self._should_stop = True

    def _serve(self, listener: socket.socket) -> None:
        """Accept connections, commit all received batches in one transaction, and send back the outcomes."""
        received: list[tuple[_Connection, list[list[NewEvent]]]] = []
        for fd, _ in self._poll.poll(1000 * _POLL_SECONDS):
            if fd == listener.fileno():
                connection = _Connection(listener.accept()[0])
                self._connections[connection.fileno()] = connection
                self._poll.register(connection, select.POLLIN)
                continue
            connection = self._connections[fd]
            try:
                received.append((connection, _decode_requests(connection.receive())))
            except StoreDisconnected:
                self._disconnect(fd)
        outcomes = iter(commit([request for _, requests in received for request in requests]))
        for connection, requests in received:
            answer = [_WireOutcome.of(next(outcomes)) for _ in requests]
            try:
                connection.send(_encode(answer))
            except StoreDisconnected:
                self._disconnect(connection.fileno())

    def _disconnect(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._connections.pop(fd).close()
