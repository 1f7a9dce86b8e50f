"""The id that ties a request to its log lines, tasks, outbound calls and errors."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{8,128}")


def current() -> str:
    """The current request id, or "" outside any request."""
    return _current.get()


def accept(offered: str | None) -> str:
    """The id a caller offered if it is harmless, else a new one."""
    if offered and _ACCEPTABLE.fullmatch(offered):
        return offered
    return uuid.uuid4().hex


@contextmanager
def use(value: str) -> Iterator[None]:
    token = _current.set(value)
    try:
        yield
    finally:
        _current.reset(token)
