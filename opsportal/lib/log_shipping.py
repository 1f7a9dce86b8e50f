"""Log lines to Better Stack, in the background: a bounded queue, one thread, batches. Nothing ever waits for it.

While Better Stack is away lines wait in the queue; when that is full, newer ones are dropped, counted, and the count is
shipped with the first batch that gets through.
"""

import atexit
import logging
import os
import queue
import threading
import time

from django.conf import settings

from opsportal.lib import logs, outbound

MOST_WAITING = 10_000
MOST_AT_ONCE = 500
GATHER_FOR = 1.0
WAIT_WHEN_AWAY = 5.0
LAST_WORDS = 2.0  # seconds at exit

log = logging.getLogger(__name__)


class ShippingHandler(logging.Handler):
    """Puts each line into the queue and starts the thread with the first one (again after a fork)."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self.url = url
        self.dropped = 0
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._client = outbound.Client("better-stack", timeout=10, read=5, attempts=2)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._pid != os.getpid():
            self._begin()
        if threading.current_thread() is self._thread:
            return  # what shipping itself has to say would be shipped for ever
        try:
            fields = logs.fields_of(record)
            self._waiting.put_nowait(logs.json_line({"dt": fields["time"], **fields}))
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
        """Ship what waits, within two seconds."""
        self._stopping.set()
        if self._thread and self._pid == os.getpid():
            self._thread.join(LAST_WORDS)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._waiting.empty()):
            batch = self._gather()
            while batch and not self._ship(batch):
                if self._stopping.wait(WAIT_WHEN_AWAY):
                    return  # away at the end: nothing more to be done

    def _gather(self) -> list[str]:
        batch: list[str] = []
        until = time.monotonic() + GATHER_FOR
        while len(batch) < MOST_AT_ONCE:
            left = 0.0 if self._stopping.is_set() else until - time.monotonic()
            try:
                batch.append(self._waiting.get(timeout=max(0.0, min(left, 0.1))))
            except queue.Empty:
                if left <= 0:
                    break
        return batch

    def _ship(self, batch: list[str]) -> bool:
        """Whether the batch is done with: delivered, or refused for good."""
        lines = list(batch)
        dropped = self.dropped
        if dropped:
            record = logging.makeLogRecord(
                {"name": __name__, "levelname": "WARNING", "msg": "log lines dropped"}
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
            log.warning("Better Stack refused log lines", extra={"status": response.status_code})
            self.dropped += len(batch)
            return True
        self.dropped -= dropped
        return True


def install() -> ShippingHandler | None:
    """Ship from now on, when a token is set. Called once per process, after `logs.configure`."""
    if not settings.BETTER_STACK_TOKEN:
        return None
    handler = ShippingHandler(settings.BETTER_STACK_URL, settings.BETTER_STACK_TOKEN)
    logging.getLogger().addHandler(handler)
    return handler
