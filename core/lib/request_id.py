"""Share one id among the log lines, tasks, outbound calls and errors of a request."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{8,128}")


def current() -> str:
    """Return the current request id, or "" outside of requests."""
    return _current.get()


def accept(offered: str | None) -> str:
    """Return the id that a client sent if its form is acceptable, else a new id."""
    if offered and _ACCEPTABLE.fullmatch(offered):
        return offered
    return uuid.uuid4().hex


@contextmanager
def use(value: str) -> Iterator[None]:
    """Make `value` the current request id inside the block."""
    token = _current.set(value)
    try:
        yield
    finally:
        _current.reset(token)
