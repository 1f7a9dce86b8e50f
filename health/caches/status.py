"""Keep the public status in memory and in a file.

When the database is away, the status page shows the last known value and says how old it is.
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

FRESH_FOR = timedelta(seconds=30)
PATIENCE = 0.5  # seconds a visitor waits for the database


def _file() -> Path:
    return Path(settings.DATA_DIR) / "status.json"


def write_snapshot(status: PublicStatus) -> None:
    """In the file, for a start while the database is away. Readers see the old or the new one, never half."""
    path = _file()
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(path)
    except OSError:
        log.warning("status file cannot be written", exc_info=True)


def read_snapshot() -> PublicStatus | None:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=PublicStatus)
    except (OSError, msgspec.MsgspecError):
        return None


class StatusCache:
    """This process's newest value. Nobody waits longer than PATIENCE; whoever comes too early gets the last known one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: PublicStatus | None = None
        self._asked_at: datetime | None = None
        self._making: threading.Event | None = None
        self._has_failed = False

    def read(self, *, now: datetime) -> tuple[PublicStatus | None, bool]:
        """The newest value, and whether it is fresh."""
        with self._lock:
            if self._is_fresh(now):
                return self._known, True
            tried_lately = self._asked_at and timedelta() <= now - self._asked_at < timedelta(
                seconds=5
            )
            done = self._making
            if done is None and not tried_lately:
                done = self._making = threading.Event()
                self._asked_at = now
                threading.Thread(
                    target=self._make, args=(now, done), name="status page", daemon=True
                ).start()
        if done is not None:
            done.wait(PATIENCE)
        with self._lock:
            if self._known is None:  # never read here: however new the file is, that is not fresh
                return read_snapshot(), False
            return self._known, self._is_fresh(now)

    def forget(self) -> None:
        with self._lock:
            self._known = self._asked_at = None
            self._has_failed = False

    def _is_fresh(self, now: datetime) -> bool:
        return (
            self._known is not None
            and not self._has_failed
            and now - self._known.made_at < FRESH_FOR
        )

    def _make(self, now: datetime, done: threading.Event) -> None:
        try:
            made = load_public_status(now=now)
            with self._lock:
                self._known, self._has_failed = made, False
            write_snapshot(made)
        except (
            Exception
        ) as error:  # whatever is wrong with the database: the last known value is shown
            self._has_failed = True
            log.warning(
                "status page shows the last known state", extra={"error": repr(error)[:300]}
            )
        finally:
            with self._lock:
                self._making = None
            done.set()
            connections.close_all()


status_cache = StatusCache()
