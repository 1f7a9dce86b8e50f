"""Logs: one JSON object a line, or readable text on a terminal (LOG_FORMAT says json or text; empty: by where it goes).

A line has time (with zone), level, logger, message, request_id, instance, region, what `add_context` was told for this
request, and the fields given as `extra=`. Personal data is removed, and no line is longer than 10 000 characters: the
longest fields are cut, and the line stays valid JSON.
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

from opsportal.lib import request_id
from opsportal.lib.scrub import scrub, scrub_text

LONGEST_LINE = 10_000
_CUT = "…[cut]…"

_context: ContextVar[dict[str, object] | None] = ContextVar("log_context", default=None)
# Attributes every record has, and what Django adds that is no fact (the request's repr holds its query string).
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime", "message", "taskName", "request", "response", "server_time",
}  # fmt: skip


@contextlib.contextmanager
def fresh_context() -> Iterator[dict[str, object]]:
    """What `add_context` adds inside ends here."""
    context: dict[str, object] = {}
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def add_context(**facts: object) -> None:
    """Facts for every further line of this request or task: `add_context(app=app.slug)`."""
    context = _context.get()
    if context is not None:
        context.update(facts)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a line says, scrubbed, in order; not yet cut."""
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
    """The facts of a record: what its request is known by and what came as `extra=`. Plain values, not scrubbed."""
    extra = dict(_context.get() or {})
    extra.update((key, value) for key, value in vars(record).items() if key not in _NOT_EXTRA)
    return {key: _plain(value) for key, value in extra.items()}


def _plain(value: object) -> object:
    """As JSON has it: texts, numbers, lists and dicts of these."""
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return msgspec.to_builtins(value, enc_hook=_as_text, str_keys=True)
    except (TypeError, ValueError, RecursionError):  # a dict with odd keys, a circle
        return _as_text(value)


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def json_line(fields: dict[str, object]) -> str:
    """The fields as one JSON object of at most LONGEST_LINE characters."""
    line = _encode(fields)
    if len(line) <= LONGEST_LINE:
        return line
    fields = {**fields, "cut": True}
    while len(line) > LONGEST_LINE:
        texts = {key: _text(value) for key, value in fields.items()}
        longest = max(texts, key=lambda key: len(texts[key]))
        fields[longest] = _shortened(texts[longest], len(line) - LONGEST_LINE)
        line = _encode(fields)
    return line


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        # Lone surrogates, which no UTF-8 can hold, and integers past 64 bits.
        return json.dumps(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _encode(value)


def _shortened(text: str, by: int) -> str:
    """Without its middle: a stack trace says most at its two ends."""
    keep = max(100, min(len(text) - by, len(text) * 3 // 4))
    return text[: keep // 2] + _CUT + text[-keep // 2 :] if keep + len(_CUT) < len(text) else _CUT


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json_line(fields_of(record))


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, then the facts."""

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
        if len(line) > LONGEST_LINE:
            line = _shortened(line, len(line) - LONGEST_LINE + len(_CUT))
        return line


# What anybody can send, and Django logs as an ERROR with its trace: the access line shows the 400 or 413. With no handler
# at all such a line would go to stderr as plain text.
_OF_CALLERS = (
    "DisallowedHost", "RequestDataTooBig", "TooManyFieldsSent", "TooManyFilesSent",
    "SuspiciousMultipartForm", "SuspiciousFileOperation", "BadRequest",
)  # fmt: skip


class NotTwice(logging.Filter):
    """Django logs each 4xx and 5xx answer; the access line says that already. An exception is logged, once."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info) and record.levelno >= logging.ERROR


def configure() -> None:
    """Called by PortalConfig.ready, so for web, worker and commands alike."""
    style = settings.LOG_FORMAT or ("text" if sys.stderr.isatty() else "json")
    quiet: dict[str, object] = {"level": "WARNING"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}, "text": {"()": TextFormatter}},
            "filters": {"not_twice": {"()": NotTwice}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stderr",
                    "formatter": style,
                },
                "nowhere": {"class": "logging.NullHandler"},
            },
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {
                "django.request": {"filters": ["not_twice"]},
                **{
                    f"django.security.{kind}": {"handlers": ["nowhere"], "propagate": False}
                    for kind in _OF_CALLERS
                },
                "django-q": {"handlers": [], "propagate": True},
                # These log each call's URL, and some URLs are secrets (incoming webhooks).
                "httpx": quiet,
                "httpcore": quiet,
                "stripe": quiet,
                "urllib3": quiet,
            },
        }
    )
    logging.captureWarnings(True)
