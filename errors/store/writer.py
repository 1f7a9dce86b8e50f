"""Collect the events of concurrent requests into batches, in the event loop of the web process.

While one batch is being committed, the requests that arrive are parsed and form the next batch. No request gets a
200 before its batch is committed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from errors.event.new_event import NewEvent
from errors.exceptions import Unavailable
from errors.store.commit import Outcome
from errors.store.process import StoreClient
from errors.store.write import BatchResult

log = logging.getLogger(__name__)

MAX_BATCH = 128  # Maximum number of requests in a batch.
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_WAITING = 4_000  # Further requests are refused with a 503.
MAX_WAITING_BYTES = 64 * 1024 * 1024
TIMEOUT_SECONDS = 25.0  # SDKs stop waiting for a response even earlier.

Parse = Callable[[], Sequence[NewEvent]]


class _Job:
    """A request whose events are waiting to be parsed and stored."""

    __slots__ = ("done", "events", "parse", "size_bytes")

    def __init__(self, parse: Parse, size_bytes: int, done: "asyncio.Future[BatchResult]") -> None:
        self.parse = parse
        self.size_bytes = size_bytes
        self.done = done
        self.events: Sequence[NewEvent] = ()

    def finish(self, outcome: Outcome | Exception) -> None:
        # After a timeout, the client has already received a response.
        if self.done.done():
            return
        if isinstance(outcome, Exception):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


class Writer:
    """A writer that forms batches and passes them to the store. All methods run in one event loop."""

    def __init__(self) -> None:
        # Address of the store process's socket. If it is None, this process commits.
        self.store_address: Path | None = None
        self.batch_count = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def store(self, parse: Parse, size_bytes: int) -> BatchResult:
        """Parse a request, store its events, and return after the commit.

        `parse` is called in the order of the requests. `size_bytes` is roughly the memory that the request takes until
        the commit. Raises the exceptions of `parse`, NotStorable, or Unavailable if too much data is waiting, the
        database is unavailable, or the store does not answer within TIMEOUT_SECONDS.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._start(loop)
        if (
            self._waiting_count >= MAX_WAITING
            or self._waiting_bytes + size_bytes > MAX_WAITING_BYTES
        ):
            raise Unavailable("too many events are waiting to be stored")
        job = _Job(parse, size_bytes, loop.create_future())
        self._waiting_count += 1
        self._waiting_bytes += size_bytes
        self._queue.append(job)
        self._schedule()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await job.done
        except TimeoutError:
            raise Unavailable("the store did not answer in time") from None
        finally:
            self._waiting_count -= 1
            self._waiting_bytes -= size_bytes

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[_Job] = deque()
        self._batch: list[
            _Job
        ] = []  # Contains requests that are parsed but not yet sent to the store.
        self._batch_bytes = 0
        self._waiting_count = 0
        self._waiting_bytes = 0
        self._is_scheduled = False
        self._commit: asyncio.Task[None] | None = None
        self._client = StoreClient(self.store_address)

    def _schedule(self) -> None:
        if not self._is_scheduled and self._loop is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        """Parse one request. Send the batch once half of the waiting requests are parsed.

        The other half is parsed during the commit. Each step parses only one request, so that the event loop can soon
        handle the store's outcomes and other clients.
        """
        self._is_scheduled = False
        if self._queue and self._has_room():
            self._parse(self._queue.popleft())
        if self._may_commit():
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._commit = asyncio.get_running_loop().create_task(self._commit_batch(batch))
        if self._queue and self._has_room():
            self._schedule()

    def _may_commit(self) -> bool:
        if self._commit is not None or not self._batch:
            return False
        return len(self._batch) >= len(self._queue) or not self._has_room()

    def _has_room(self) -> bool:
        return len(self._batch) < MAX_BATCH and self._batch_bytes < MAX_BATCH_BYTES

    def _parse(self, job: _Job) -> None:
        if job.done.done():
            return
        try:
            job.events = job.parse()
        except Exception as error:
            job.finish(error)
            return
        # A panic in an extension written in Rust is a BaseException, but not an Exception.
        except BaseException as error:
            log.exception("a request could not be parsed")
            job.finish(Unavailable(str(error)))
            return
        if not job.events:
            job.finish(BatchResult())
            return
        self._batch.append(job)
        self._batch_bytes += sum(len(event.payload) for event in job.events)

    async def _commit_batch(self, batch: list[_Job]) -> None:
        outcomes: Sequence[Outcome]
        try:
            outcomes = await self._client.commit([job.events for job in batch])
        except Exception as error:
            log.exception("a batch was not stored")
            outcomes = [Unavailable(str(error))] * len(batch)
        self.batch_count += 1
        self._commit = None
        self._schedule()
        for job, outcome in zip(batch, outcomes, strict=True):
            job.finish(outcome)


writer = Writer()
