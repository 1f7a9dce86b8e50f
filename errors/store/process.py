"""The store's own process: it compresses and commits one batch while a web process reads the next.

Both need the interpreter most of the time; as two processes they have a core each (what that brings: docs/performance.md,
"Which processes take errors"). `manage.py serve` starts it and keeps it running. It answers on a socket that only this user
may open; while it is away, web processes commit by themselves.
"""

import logging
import os
import select
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

from errors.new_event import NewEvent
from errors.store.commit import NotStorable, Outcome, Request, Unavailable, commit
from errors.store.write import Written

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<Q")
_BUFFER = 1024 * 1024
_LOOK_EVERY = 0.25  # seconds, for being asked to end


class Gone(Exception):
    """The other side has ended. What it was given last may be committed, or not."""


class _Said(msgspec.Struct, array_like=True):
    """An Outcome on its way."""

    written: Written | None = None
    problem: str = ""
    is_passing: bool = False

    @classmethod
    def of(cls, outcome: Outcome) -> "_Said":
        if isinstance(outcome, Written):
            return cls(outcome)
        return cls(None, str(outcome), isinstance(outcome, Unavailable))

    def outcome(self) -> Outcome:
        if self.written is not None:
            return self.written
        return Unavailable(self.problem) if self.is_passing else NotStorable(self.problem)


_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(list[list[NewEvent]]).decode
_outcomes = msgspec.msgpack.Decoder(list[_Said]).decode


class _Line:
    """One end of a connection: whole messages, or Gone."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def send(self, message: bytes) -> None:
        try:
            self._end.sendall(_LENGTH.pack(len(message)))
            self._end.sendall(message)
        except OSError as error:
            raise Gone(str(error)) from None

    def receive(self) -> bytearray:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytearray:
        buffer = bytearray(size)
        rest = memoryview(buffer)
        try:
            while rest:
                count = self._end.recv_into(rest)
                if not count:
                    raise Gone("it has ended")
                rest = rest[count:]
        except OSError as error:
            raise Gone(str(error)) from None
        return buffer


class Link:
    """A web process's line to the store's process; for one thread, one batch at a time."""

    def __init__(self, address: Path) -> None:
        """Raises Gone."""
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(str(address))
        except OSError as error:
            end.close()
            raise Gone(str(error)) from None
        self._line = _Line(end)
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def fileno(self) -> int:
        return self._line.fileno()

    def close(self) -> None:
        self._line.close()

    def send(self, requests: Sequence[Request]) -> None:
        """Have them committed. Raises Gone."""
        self._line.send(_encode(requests))

    def has_answer(self) -> bool:
        return bool(self._poll.poll(0))

    def receive(self) -> list[Outcome]:
        """The outcomes of what was sent; waits for them. Raises Gone."""
        return [said.outcome() for said in _outcomes(self._line.receive())]


class StoreProcess:
    """Commits what comes on its socket, until it is asked to end and the last web process has hung up."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._is_asked_to_end = False
        self._lines: dict[int, _Line] = {}
        self._poll = select.poll()

    def run(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._end)
        self._address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door:
            before = os.umask(0o177)
            try:
                door.bind(str(self._address))
            finally:
                os.umask(before)
            door.listen()
            self._poll.register(door, select.POLLIN)
            try:
                while self._lines or not self._is_asked_to_end:
                    self._serve(door)
            finally:
                self._address.unlink(missing_ok=True)

    def _end(self, *_: object) -> None:
        self._is_asked_to_end = True

    def _serve(self, door: socket.socket) -> None:
        """One round: what all lines have, in one transaction."""
        asked: list[tuple[_Line, list[list[NewEvent]]]] = []
        for fd, _ in self._poll.poll(1000 * _LOOK_EVERY):
            if fd == door.fileno():
                line = _Line(door.accept()[0])
                self._lines[line.fileno()] = line
                self._poll.register(line, select.POLLIN)
                continue
            line = self._lines[fd]
            try:
                asked.append((line, _requests(line.receive())))
            except Gone:
                self._hang_up(fd)
        outcomes = iter(commit([request for _, requests in asked for request in requests]))
        for line, requests in asked:
            said = [_Said.of(next(outcomes)) for _ in requests]
            try:
                line.send(_encode(said))
            except Gone:
                self._hang_up(line.fileno())

    def _hang_up(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._lines.pop(fd).close()
