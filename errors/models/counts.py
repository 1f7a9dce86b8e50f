"""Define the counts of events. All but the roll-ups per app are updated in the transaction that stores events.

Events are counted by their time of receipt. Minutes and hours are numbered from 1970-01-01 00:00 UTC.
"""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models

from core.clients.models import ClientApp
from errors.models.groups import ErrorGroup, Severity


def minute_of(timestamp: datetime) -> int:
    return int(timestamp.timestamp()) // 60


def hour_of(timestamp: datetime) -> int:
    return int(timestamp.timestamp()) // 3600


def hour_start(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


class MinuteCountQuerySet(models.QuerySet["MinuteCount"]):
    def between(self, since: datetime, until: datetime) -> "MinuteCountQuerySet":
        """Return the counts of all minutes that overlap the period."""
        return self.filter(minute__gte=minute_of(since), minute__lte=minute_of(until))


class _AppCount(models.Model):
    """The common columns of the tables that count an app's events by severity."""

    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    severity = models.CharField(max_length=8, choices=Severity)
    count = models.PositiveIntegerField()

    class Meta:
        abstract = True


class MinuteCount(_AppCount):
    """The number of events per app, severity and minute. Alert rules and the health page read this table."""

    pk = models.CompositePrimaryKey("minute", "app_id", "severity")
    minute = models.PositiveIntegerField()

    objects = MinuteCountQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.count} in minute {self.minute}"


class QuarterCount(_AppCount):
    """The number of events per app, severity and quarter of an hour, for charts of a day.

    Only `errors.services.count_rollups` adds and updates rows, from the counts per minute.
    """

    pk = models.CompositePrimaryKey("quarter", "app_id", "severity")
    quarter = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in quarter {self.quarter}"


class HourCount(_AppCount):
    """The number of events per app, severity and hour, for charts of weeks and months.

    Only `errors.services.count_rollups` adds and updates rows, from the counts per minute.
    """

    pk = models.CompositePrimaryKey("hour", "app_id", "severity")
    hour = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in hour {self.hour}"


class GroupHour(models.Model):
    """The number of events per group and hour, which sparklines and the group's chart show."""

    pk = models.CompositePrimaryKey("group_id", "hour")
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="hours", db_constraint=False, db_index=False
    )
    hour = models.PositiveIntegerField()
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in hour {self.hour}"


class GroupUser(models.Model):
    """A user whom events of a group affected."""

    pk = models.CompositePrimaryKey("group_id", "user_key")
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="users", db_constraint=False, db_index=False
    )
    user_key = models.CharField(max_length=128)

    def __str__(self) -> str:
        return self.user_key


class GroupTag(models.Model):
    """The number of events per group, tag and value. Environment, release, function and category are tags as well.

    Only a limited number of values per tag is counted separately; further values are counted as OTHERS.
    """

    pk = models.CompositePrimaryKey("group_id", "key", "value")
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="tags", db_constraint=False, db_index=False
    )
    key = models.CharField(max_length=64)
    value = models.CharField(max_length=200)
    count = models.PositiveIntegerField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "value"], name="groups_by_tag")]

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"
