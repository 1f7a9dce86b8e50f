"""Store measurements as roll-ups.

A series is a measured quantity, and a point is one minute, hour or day of a series. Single measurements are not stored.
Years of data therefore need little space, and a page reads each number from a few rows.
"""

from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Count, Q

from core.clients.models import ClientApp
from core.lib.app_access import Apps
from health import histogram


class Tier(models.IntegerChoices):
    """The length of a point, in seconds."""

    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400

    @property
    def length(self) -> timedelta:
        return timedelta(seconds=self.value)

    def floor(self, timestamp: datetime) -> datetime:
        """Return the start of the UTC minute, hour or day that contains `timestamp`."""
        return datetime.fromtimestamp(
            timestamp.timestamp() // self.value * self.value, tz=timestamp.tzinfo
        )


ROLLUP_RETENTION: dict[Tier, timedelta] = {
    Tier.MINUTE: timedelta(hours=48),
    Tier.HOUR: timedelta(days=35),
    Tier.DAY: timedelta(days=400),
}


class SeriesKind(models.TextChoices):
    FUNCTION = "function"
    PAGE = "page"
    REQUEST = "request"
    DELIVERY = "delivery"
    GAUGE = "gauge"
    COUNTER = "counter"


class SeriesQuerySet(models.QuerySet["Series"]):
    def total(self, kind: str) -> "SeriesQuerySet":
        """Return the series of this kind that hold the totals across all apps."""
        return self.filter(app=None, kind=kind, name="")

    def of_apps(self, kind: str) -> "SeriesQuerySet":
        return self.filter(kind=kind, app__isnull=False)


class Series(models.Model):
    """A measured quantity, such as a function, a gauge or a delivery outcome.

    A series without an app contains the total of all apps. Calls have a separate series for each environment that an
    app reports, such as "production".
    """

    app = models.ForeignKey(ClientApp, models.CASCADE, null=True, blank=True, related_name="series")
    kind = models.CharField(max_length=10, choices=SeriesKind)
    name = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=64, blank=True, default="", db_default="")

    objects = SeriesQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "series"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "kind", "name", "environment"],
                name="one_series_per_app_name_environment",
            ),
            models.UniqueConstraint(
                fields=["kind", "name"], condition=Q(app=None), name="one_total_series"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name or 'total'}"

    @classmethod
    def app_condition(cls, apps: Apps) -> Q:
        """Return a condition for series of these apps, without the totals of all apps.

        See core.lib.app_access.
        """
        return Q(app__in=apps)


class Point(models.Model):
    """The base class of points, with the series, length and start."""

    series = models.ForeignKey(Series, models.CASCADE, related_name="+")
    tier = models.PositiveIntegerField(choices=Tier)
    start = models.DateTimeField()

    KEY: ClassVar = ("series", "tier", "start")

    class Meta:
        abstract = True


class Latency(Point):
    """The calls in one minute, hour or day, with a histogram of their durations in the fields b0, b1, and so on.

    If an app measures only a sample, `count` and the other fields are estimates from `measured` calls.
    """

    count = models.BigIntegerField(default=0)
    measured = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    highest_ms = models.FloatField(default=0)

    BUCKETS: ClassVar = tuple(f"b{n}" for n in range(histogram.BUCKET_COUNT))

    class Meta:
        verbose_name_plural = "latencies"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "tier", "start"], name="one_latency_point")
        ]
        indexes: ClassVar = [models.Index(fields=["tier", "start"], name="latency_by_age")]

    def __str__(self) -> str:
        return f"{self.series_id} {self.start:%Y-%m-%d %H:%M}: {self.count}"


# With one column per bucket, one UPDATE adds to the histogram without reading the row first.
for _bucket in Latency.BUCKETS:
    Latency.add_to_class(_bucket, models.IntegerField(default=0))


class Value(Point):
    """The sum of a counter, or the levels of a gauge, in one minute, hour or day."""

    count = models.BigIntegerField(default=0)
    total = models.FloatField(default=0)
    lowest = models.FloatField(default=0)
    highest = models.FloatField(default=0)
    last = models.FloatField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "tier", "start"], name="one_value_point")
        ]
        indexes: ClassVar = [models.Index(fields=["tier", "start"], name="value_by_age")]

    def __str__(self) -> str:
        return f"{self.series_id} {self.start:%Y-%m-%d %H:%M}: {self.last}"


class ActiveUserQuerySet(models.QuerySet["ActiveUser"]):
    def seen_since(self, since: datetime) -> "ActiveUserQuerySet":
        return self.filter(seen_at__gte=since)

    def user_count(self) -> int:
        """Return the number of distinct users over all apps."""
        return self.values("user_hash").distinct().count()

    def by_app(self) -> list[tuple[str, int]]:
        """Return the number of users of each app, highest number first."""
        rows = self.values_list("app__name").annotate(user_count=Count("pk"))
        return list(rows.order_by("-user_count", "app__name"))


class ActiveUser(models.Model):
    """The time at which a user was last active in an app.

    The user is stored as a keyed hash of the id, and the row is deleted after a day.
    """

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    user_hash = models.CharField(max_length=32)
    seen_at = models.DateTimeField(db_index=True)

    objects = ActiveUserQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "user_hash"], name="one_row_per_active_user")
        ]

    def __str__(self) -> str:
        return f"{self.user_hash[:8]}… {self.seen_at:%H:%M}"


class SignalBatch(models.Model):
    """The id of a batch of signals, which is stored for 48 hours so that a repeated batch can be ignored."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    batch_id = models.CharField(max_length=100)
    received_at = models.DateTimeField(db_index=True)
    accepted = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "signal batches"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "batch_id"], name="each_batch_once")
        ]

    def __str__(self) -> str:
        return self.batch_id
