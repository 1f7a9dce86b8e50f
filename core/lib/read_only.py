"""Make a portal on SQLite read-only while its data is moved to PostgreSQL.

A file beside the database makes the portal read-only. All processes read it, also after a restart, and the database
itself is not changed. Writes end in two steps:

1. From the start, requests that change something are refused with a 503, and the worker cluster finishes its tasks and
   ends.
2. After DRAIN_SECONDS, `core.lib.sqlite` also refuses every write to the database.
"""

import os
import time
from datetime import datetime
from pathlib import Path

import msgspec
from django.db import connection

# Longer than the 15 s that workers have to finish their tasks at a stop, and longer than most requests take.
DRAIN_SECONDS = 20.0
RETRY_AFTER_SECONDS = 60
CACHE_SECONDS = 0.5  # A process reads the file at most once in this time.
POLL_SECONDS = 1.0


class Notice(msgspec.Struct, frozen=True):
    """The content of the file that makes the portal read-only."""

    since: datetime
    enforced_at: float  # The Unix time in seconds from which the database refuses writes.
    target: str  # The URL of the database that receives the data, without its password.
    # True once all data has been moved, after which the portal must never write to this database again.
    is_moved: bool = False

    @property
    def text(self) -> str:
        """Return a sentence for users and clients. It does not name the target database."""
        if self.is_moved:
            return "This portal's data has been moved to PostgreSQL. This copy is read-only."
        return "This portal is read-only while its data is being moved to PostgreSQL."


def path() -> Path:
    name = str(connection.settings_dict["NAME"])
    return Path(f"{name}.read-only")


def turn_on(notice: Notice) -> None:
    """Write the notice to the file and flush it to the disk. An existing file is replaced."""
    draft = path().with_name(f"{path().name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(notice))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path())
    clear_cache()


def turn_off() -> None:
    path().unlink(missing_ok=True)
    clear_cache()


def read() -> Notice | None:
    """Return the content of the file, or None if the portal is not read-only."""
    if connection.vendor != "sqlite":
        return None
    try:
        return msgspec.json.decode(path().read_bytes(), type=Notice)
    except FileNotFoundError:
        return None


# The time.monotonic() value until which the cached notice is used, and the notice.
_cached: tuple[float, Notice | None] = (0.0, None)


def clear_cache() -> None:
    global _cached
    _cached = (0.0, None)


def current() -> Notice | None:
    """Return the notice, or None if the portal is not read-only. The file is read at most once every CACHE_SECONDS."""
    global _cached
    until, notice = _cached
    if time.monotonic() < until:
        return notice
    notice = read()
    _cached = (time.monotonic() + CACHE_SECONDS, notice)
    return notice


def is_enforced() -> bool:
    """Return True if the database refuses writes."""
    notice = current()
    return notice is not None and time.time() >= notice.enforced_at


def wait_until_off() -> None:
    """Wait while the portal is read-only."""
    while current() is not None:
        time.sleep(POLL_SECONDS)
