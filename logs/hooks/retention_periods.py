"""Declare the retention period of log entries."""

from collections.abc import Iterator

from core.lib.retention import Kept, keeps
from logs.services import retention


@keeps("logs")
def kept() -> Iterator[Kept]:
    yield Kept("Log entries and traced requests", retention(), "LOG_DAYS")
