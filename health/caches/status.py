"""Cache the public status in this process, with a copy in a file.

While the database is unavailable, the status page shows the last known status and its age.
"""

import logging
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import connections

from health.queries.public_status import PublicStatus, load_public_status

log = logging.getLogger(__name__)

MAX_AGE = timedelta(seconds=30)
RETRY_PAUSE = timedelta(seconds=5)
READ_TIMEOUT_SECONDS = 0.5


def snapshot_path() -> Path:
    return Path(settings.DATA_DIR) / "status.json"


def write_snapshot(status: PublicStatus) -> None:
    """Write the status to a file, for processes that start while the database is unavailable.

    The file is replaced atomically.
    """
    path = snapshot_path()
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(path)
    except OSError:
        log.warning("the status snapshot could not be written", exc_info=True)


def read_snapshot() -> PublicStatus | None:
    """Return the status in the file, or None if no readable file exists."""
    try:
        return msgspec.json.decode(snapshot_path().read_bytes(), type=PublicStatus)
    except (OSError, msgspec.MsgspecError):
        return None


class StatusCache:
    """A cache of the newest status, which a background thread refreshes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._status: PublicStatus | None = None
        self._requested_at: datetime | None = None
        self._refreshing: threading.Event | None = None
        self._clear_count = 0
        self._has_failed = False

    def read(self, *, now: datetime) -> tuple[PublicStatus | None, bool]:
        """Return the last known status, and True if it is fresh. Wait at most READ_TIMEOUT_SECONDS for a refresh.

        The status is None if neither the cache nor the file has one.
        """
        with self._lock:
            if self._is_fresh(now):
                return self._status, True
            was_requested_recently = (
                self._requested_at and timedelta() <= now - self._requested_at < RETRY_PAUSE
            )
            done = self._refreshing
            if done is None and not was_requested_recently:
                done = self._refreshing = threading.Event()
                self._requested_at = now
                threading.Thread(
                    target=self._refresh,
                    args=(now, done, self._clear_count),
                    name="status cache",
                    daemon=True,
                ).start()
        if done is not None:
            done.wait(READ_TIMEOUT_SECONDS)
        with self._lock:
            # A status from the file never counts as fresh, because its writer may have stopped.
            if self._status is None:
                return read_snapshot(), False
            return self._status, self._is_fresh(now)

    def clear(self) -> None:
        with self._lock:
            self._status = self._requested_at = self._refreshing = None
            self._has_failed = False
            self._clear_count += 1

    def _is_fresh(self, now: datetime) -> bool:
        return (
            self._status is not None
            and not self._has_failed
            and now - self._status.made_at < MAX_AGE
        )

    def _refresh(self, now: datetime, done: threading.Event, clear_count: int) -> None:
        """Load the status, and drop it if `clear()` was called in the meantime."""
        try:
            status = load_public_status(now=now)
            with self._lock:
                is_current = clear_count == self._clear_count
                if is_current:
                    self._status, self._has_failed = status, False
            if is_current:
                write_snapshot(status)
        except Exception as error:
            # Whatever the error is, the page must continue to show the last known status.
            with self._lock:
                self._has_failed = self._has_failed or clear_count == self._clear_count
            log.warning(
                "the public status could not be refreshed; the page shows the last known status",
                extra={"error": repr(error)[:300]},
            )
        finally:
            with self._lock:
                if self._refreshing is done:
                    self._refreshing = None
            done.set()
            connections.close_all()


status_cache = StatusCache()
