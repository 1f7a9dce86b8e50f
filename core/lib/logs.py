"""Write log lines as readable text on a terminal, otherwise as JSON objects. LOG_FORMAT can set the format instead.

A line has the time (with zone), level, logger, message, request_id, instance, region, the facts that `add_context`
added, and the fields given as `extra=`. Personal data is removed. A line longer than MAX_LINE_CHARS is kept valid JSON
by shortening its longest fields. If the names of the fields alone are too long, fields are dropped.
"""

import contextlib
import json
import logging
import logging.config
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.conf import settings

from core.lib import request_id
from core.lib.scrub import scrub, scrub_text

MAX_LINE_CHARS = 10_000
_CUT = "…[cut]…"

_context: ContextVar[dict[str, object] | None] = ContextVar("log_context", default=None)
# Standard attributes of a record, and attributes that Django adds but that must not be logged, because the repr of a
# request contains its query string.
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime", "message", "taskName", "request", "response", "server_time",
}  # fmt: skip


@contextlib.contextmanager
def fresh_context() -> Iterator[dict[str, object]]:
    """Start this block without facts from `add_context`, and discard the block's facts at its end."""
    context: dict[str, object] = {}
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def add_context(**facts: object) -> None:
    """Add facts to further lines of this request or task (see `fresh_context`): `add_context(app=app.slug)`."""
    context = _context.get()
    if context is not None:
        context.update(facts)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a line in order, scrubbed but not shortened."""
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": scrub_text(record.getMessage()),
    }
    if request_id.current():
        fields["request_id"] = request_id.current()
    fields["instance"] = settings.INSTANCE
    if settings.REGION:
        fields["region"] = settings.REGION
    for key, value in scrub(extra_of(record)).items():
        fields[f"{key}_" if key in fields else key] = value
    if record.exc_info and record.exc_info[0]:
        trace = logging.Formatter().formatException(record.exc_info)
        fields["exception"] = scrub_text(trace)
    if record.stack_info:
        fields["stack"] = scrub_text(record.stack_info)
    return fields


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the facts of `add_context` and the `extra=` fields of a record as plain values, not scrubbed."""
    extra = dict(_context.get() or {})
    extra.update((key, value) for key, value in vars(record).items() if key not in _NOT_EXTRA)
    return {key: _plain(value) for key, value in extra.items()}


def _plain(value: object) -> object:
    """Convert a value to a type that JSON has."""
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return msgspec.to_builtins(value, enc_hook=_as_text, str_keys=True)
    except (TypeError, ValueError, RecursionError):
        # msgspec could not convert the value, for example because of a circular reference.
        return _as_text(value)


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def json_line(fields: dict[str, object]) -> str:
    """Return the fields as one JSON object of at most MAX_LINE_CHARS characters."""
    line = _encode(fields)
    if len(line) <= MAX_LINE_CHARS:
        return line
    fields = {**_drop_long_names(fields), "cut": True}
    line = _encode(fields)
    while len(line) > MAX_LINE_CHARS:
        texts = {key: _text(value) for key, value in fields.items()}
        longest = max(texts, key=lambda key: len(texts[key]))
        fields[longest] = _shortened(texts[longest], len(line) - MAX_LINE_CHARS)
        line = _encode(fields)
    return line


def _drop_long_names(fields: dict[str, object]) -> dict[str, object]:
    """Return the fields in order, without those that do not fit into the line even if all long values become _CUT."""
    kept: dict[str, object] = {}
    size = len(json.dumps({"cut": True}))
    for key, value in fields.items():
        short = value if len(_text(value)) <= len(_CUT) else _CUT
        # json.dumps escapes at least as many characters as msgspec.
        field_size = len(json.dumps({key: short}))
        if size + field_size <= MAX_LINE_CHARS:
            kept[key] = value
            size += field_size
    return kept


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        # msgspec rejects lone surrogates, which UTF-8 cannot encode, and integers over 64 bits.
        return json.dumps(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _encode(value)


def _shortened(text: str, by: int) -> str:
    """Cut the middle of a string, because the most important parts of a stack trace are its ends."""
    keep = max(100, min(len(text) - by, len(text) * 3 // 4))
    return text[: keep // 2] + _CUT + text[-keep // 2 :] if keep + len(_CUT) < len(text) else _CUT


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json_line(fields_of(record))


class TextFormatter(logging.Formatter):
    """A formatter for terminals: time, level, logger and message, then other fields except instance and region."""

    _IN_HEAD = frozenset(
        ("time", "level", "logger", "message", "instance", "region", "exception", "stack")
    )

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        time = datetime.fromtimestamp(record.created).astimezone()
        facts = "".join(
            f" {key}={_text(value)}" for key, value in fields.items() if key not in self._IN_HEAD
        )
        line = f"{time:%H:%M:%S} {record.levelname:<7} {record.name}: {fields['message']}{facts}"
        for key in ("exception", "stack"):
            if key in fields:
                line += f"\n{fields[key]}"
        if len(line) > MAX_LINE_CHARS:
            line = _shortened(line, len(line) - MAX_LINE_CHARS + len(_CUT))
        return line


# Any client can send invalid requests, which Django logs to these loggers as ERROR with a traceback, although the
# access line already shows the 400 or 413. The loggers get a null handler, because Python prints a record without a
# handler to stderr.
_CLIENT_ERRORS = (
    "DisallowedHost", "RequestDataTooBig", "TooManyFieldsSent", "TooManyFilesSent",
    "SuspiciousMultipartForm", "SuspiciousFileOperation", "BadRequest",
)  # fmt: skip


class ExceptionsOnly(logging.Filter):
    """A filter that drops Django's line for a 4xx or 5xx response without a traceback; the access line shows it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info) and record.levelno >= logging.ERROR


def configure() -> None:
    """Configure logging. PortalConfig.ready calls it in web processes, workers and commands."""
    style = settings.LOG_FORMAT or ("text" if sys.stderr.isatty() else "json")
    quiet: dict[str, object] = {"level": "WARNING"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}, "text": {"()": TextFormatter}},
            "filters": {"exceptions_only": {"()": ExceptionsOnly}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stderr",
                    "formatter": style,
                },
                "null": {"class": "logging.NullHandler"},
            },
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {
                "django.request": {"filters": ["exceptions_only"]},
                **{
                    f"django.security.{kind}": {"handlers": ["null"], "propagate": False}
                    for kind in _CLIENT_ERRORS
                },
                "django-q": {"handlers": [], "propagate": True},
                # These loggers log the URL of each call, and some URLs are secrets, such as incoming webhooks.
                "httpx": quiet,
                "httpcore": quiet,
                "stripe": quiet,
                "urllib3": quiet,
            },
        }
    )
    logging.captureWarnings(True)
