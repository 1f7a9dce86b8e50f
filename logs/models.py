"""Define log entries, which are log records or traced requests and are kept for a few days."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp
from errors.models.events import received_id, received_time


class Level(models.TextChoices):
    """The severity of an entry. The names are those of Sentry and OpenTelemetry."""

    TRACE = "trace", "Trace"
    DEBUG = "debug", "Debug"
    INFO = "info", "Info"
    WARN = "warn", "Warning"
    ERROR = "error", "Error"
    FATAL = "fatal", "Fatal"


class Kind(models.TextChoices):
    LOG = "log", "Log"
    REQUEST = "request", "Request"


class LogEntryQuerySet(models.QuerySet["LogEntry"]):
    def between(self, since: datetime, until: datetime) -> "LogEntryQuerySet":
        """Return the entries with `since` <= `at` < `until`. This uses the primary key, which encodes `at`."""
        return self.filter(pk__gte=received_id(since), pk__lt=received_id(until))

    def of_trace(self, trace_id: str) -> "LogEntryQuerySet":
        # The index is partial and excludes empty values. SQLite uses it only if the query excludes empty values, too.
        return self.filter(~Q(trace_id=""), trace_id=trace_id)

    def of_request(self, request_id: str) -> "LogEntryQuerySet":
        return self.filter(~Q(request_id=""), request_id=request_id)


class LogEntry(models.Model):
    """A log record, or a request that belongs to a trace.

    The id encodes the entry's own time or, if that is implausible, its time of receipt. Therefore, ordering by id is
    ordering by time. (The id of an ErrorEvent always encodes its time of receipt.)
    """

    id = models.BigIntegerField(primary_key=True, editable=False)
    # No foreign-key constraint is used, because it would cost a lookup
    # per inserted row. Entries of a deleted app remain until they expire.
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.LOG)
    level = models.CharField(max_length=5, choices=Level)
    body = models.TextField()
    attributes = models.JSONField(default=dict)
    # Contains a hash of the name and value of each attribute. The search index treats the hashes as words.
    attribute_words = models.TextField(blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    span_id = models.CharField(max_length=16, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    environment = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=200, blank=True)

    objects = LogEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "log entries"
        indexes: ClassVar = [
            models.Index(fields=["app", "id"], name="logs_of_app"),
            models.Index(fields=["level", "id"], name="logs_by_level"),
            models.Index(
                fields=["trace_id", "id"], condition=~Q(trace_id=""), name="logs_by_trace"
            ),
            models.Index(
                fields=["request_id", "id"], condition=~Q(request_id=""), name="logs_by_request"
            ),
        ]

    def __str__(self) -> str:
        return self.body[:80]

    @property
    def at(self) -> datetime:
        return received_time(self.id)

    @property
    def milliseconds(self) -> str:
        """Return the millisecond part of `at` as three digits."""
        return f"{self.at.microsecond // 1000:03}"
