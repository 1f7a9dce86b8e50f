"""What follows the storing of few requests (a check-in beside an event): it may take its time, and has threads of its own."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from errors.store.commit import Unavailable
from errors.store.write import Written

log = logging.getLogger(__name__)

THREADS = 8
# A sender that hangs up leaves its request here: not the number of connections bounds what waits.
MOST_WAITING_BYTES = 64 * 1024 * 1024

Finish = Callable[[Written | Exception], Any]


class Afterwards:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="errors.afterwards")
        self._lock = threading.Lock()
        self._size = 0

    def finish(self, finish: Finish, outcome: Written | Exception, size: int) -> None:
        """Call `finish` with the outcome in one of the threads; or at once, with Unavailable, when too much waits."""
        with self._lock:
            has_room = self._size + size <= MOST_WAITING_BYTES
            if has_room:
                self._size += size
        if not has_room:
            finish(Unavailable("too much is waiting to be handled"))
            return
        try:
            self._pool.submit(self._run, finish, outcome, size)
        except RuntimeError:  # this process is ending
            finish(Unavailable("the portal is restarting"))

    def _run(self, finish: Finish, outcome: Written | Exception, size: int) -> None:
        try:
            finish(outcome)
        except Exception:
            log.exception("a request was not answered")
        finally:
            with self._lock:
                self._size -= size


afterwards = Afterwards()
