"""Ship log lines to Better Stack in batches, from a background thread with a bounded queue. Logging never blocks.

While Better Stack is unavailable, lines stay in the queue. When the queue is full, newer lines are dropped and counted;
the count is shipped with the next successful batch.
"""

import atexit
import logging
import os
import queue
import threading
import time

from django.conf import settings

from core.lib import logs, outbound

MAX_QUEUED = 10_000
MAX_BATCH = 500
BATCH_WINDOW_SECONDS = 1.0
RETRY_INTERVAL_SECONDS = 5.0
SHUTDOWN_TIMEOUT_SECONDS = 2.0

log = logging.getLogger(__name__)


class ShippingHandler(logging.Handler):
    """A handler that queues each line. The first line that a process logs starts its shipping thread."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self.url = url
        self.dropped = 0
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._client = outbound.Client("better-stack", timeout=10, read=5, attempts=2)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._queue: queue.Queue[str] = queue.Queue(MAX_QUEUED)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._pid != os.getpid():
            self._reset()
        if threading.current_thread() is self._thread:
            return  # Shipping a batch logs lines. If these were shipped too, shipping would never end.
        try:
            fields = logs.fields_of(record)
            self._queue.put_nowait(logs.json_line({"dt": fields["time"], **fields}))
        except queue.Full:
            self.dropped += 1
            return
        except Exception:
            self.handleError(record)
            return
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self.lock or threading.RLock():
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log shipping", daemon=True)
                self._thread.start()
                atexit.register(self.finish)

    def finish(self) -> None:
        """Ship the queued lines, but stop after SHUTDOWN_TIMEOUT_SECONDS."""
        self._stopping.set()
        if self._thread and self._pid == os.getpid():
            self._thread.join(SHUTDOWN_TIMEOUT_SECONDS)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            batch = self._next_batch()
            while batch and not self._ship(batch):
                if self._stopping.wait(RETRY_INTERVAL_SECONDS):
                    # Better Stack is unavailable at shutdown, so the remaining lines are lost.
                    return

    def _next_batch(self) -> list[str]:
        batch: list[str] = []
        until = time.monotonic() + BATCH_WINDOW_SECONDS
        while len(batch) < MAX_BATCH:
            left = 0.0 if self._stopping.is_set() else until - time.monotonic()
            try:
                batch.append(self._queue.get(timeout=max(0.0, min(left, 0.1))))
            except queue.Empty:
                if left <= 0:
                    break
        return batch

    def _ship(self, batch: list[str]) -> bool:
        """Send the lines. Return True if they were delivered or permanently refused, False to send them again."""
        lines = list(batch)
        dropped = self.dropped
        if dropped:
            record = logging.makeLogRecord(
                {"name": __name__, "levelname": "WARNING", "msg": "log lines were dropped"}
            )
            lines.append(logs.json_line({**logs.fields_of(record), "dropped": dropped}))
        body = f"[{','.join(lines)}]".encode()
        try:
            response = self._client.request(
                "POST", self.url, content=body, headers=self._headers, idempotent=True
            )
        except outbound.OutboundError:
            return False
        if response.status_code >= 500 or response.status_code in (408, 429):
            return False
        if response.status_code >= 400:
            log.warning("Better Stack rejected log lines", extra={"status": response.status_code})
            self.dropped += len(batch)
            return True
        self.dropped -= dropped
        return True


def install() -> ShippingHandler | None:
    """Start shipping, and return the handler, or return None if no token is set.

    Each process must call this once, after `logs.configure`.
    """
    if not settings.BETTER_STACK_TOKEN:
        return None
    handler = ShippingHandler(settings.BETTER_STACK_URL, settings.BETTER_STACK_TOKEN)
    logging.getLogger().addHandler(handler)
    return handler
