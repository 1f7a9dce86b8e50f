"""What apps report: events, the groups they fall into, and what is counted about them.

An event's id is made by us and grows with the time we received it (`received_id`): ordering by id is ordering by receive
time, a span of time is a span of ids, and PostgreSQL keeps one partition a day by it. Events, payloads and the event ids
seen go after the app's retention; groups, counts and history stay. Nothing here is written row by row: errors.store.
"""

import uuid
from datetime import UTC, datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from opsportal.clients.models import ClientApp

# An event's id: milliseconds since 1970, then 21 bits that keep two events of one millisecond apart.
ID_BITS = 21


def received_id(moment: datetime) -> int:
    """The smallest event id of that moment."""
    return int(moment.timestamp() * 1000) << ID_BITS


class Severity(models.TextChoices):
    """How bad an error is. What a client calls `error` is high, its `fatal` critical."""

    INFO = "info"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"


SEVERITY_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.HIGH: 2, Severity.CRITICAL: 3}


class Status(models.TextChoices):
    OPEN = "open"
    REGRESSED = "regressed"
    RESOLVED = "resolved"
    MUTED = "muted"


class ErrorGroupQuerySet(models.QuerySet["ErrorGroup"]):
    def visible(self) -> "ErrorGroupQuerySet":
        """All but those merged into another."""
        return self.filter(merged_into=None)

    def unresolved(self) -> "ErrorGroupQuerySet":
        """What asks for attention: open and regressed."""
        return self.visible().filter(status__in=[Status.OPEN, Status.REGRESSED])

    def for_app(self, app: ClientApp) -> "ErrorGroupQuerySet":
        return self.filter(app=app)

    def newest_first(self) -> "ErrorGroupQuerySet":
        return self.order_by("-last_seen_at", "-pk")


class ErrorGroup(models.Model):
    """Events of one fingerprint: one bug, as far as a machine can tell."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="error_groups")
    title = models.CharField(max_length=300)
    culprit = models.CharField(max_length=300, blank=True)
    type = models.CharField(max_length=200, blank=True)
    platform = models.CharField(max_length=40, blank=True)
    category = models.CharField(max_length=64, blank=True)
    function = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    severity = models.CharField(max_length=8, choices=Severity, default=Severity.HIGH)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    event_count = models.PositiveBigIntegerField(default=0)
    user_count = models.PositiveIntegerField(default=0)
    first_release = models.CharField(max_length=200, blank=True)
    last_release = models.CharField(max_length=200, blank=True)
    last_event = models.BigIntegerField(null=True, blank=True, editable=False)

    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_in_release = models.CharField(max_length=200, blank=True)
    regressed_at = models.DateTimeField(null=True, blank=True)
    # A mute ends at the first of these that comes true; without any, when staff say so.
    muted_until = models.DateTimeField(null=True, blank=True)
    muted_until_events = models.PositiveBigIntegerField(null=True, blank=True)
    muted_until_users = models.PositiveIntegerField(null=True, blank=True)
    merged_into = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="merged"
    )

    objects = ErrorGroupQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["-last_seen_at", "-id"], name="groups_by_last_seen"),
            models.Index(fields=["-first_seen_at"], name="groups_by_first_seen"),
            # None for the counts: they change with every event, and sorting the groups of a search is quick.
        ]

    def __str__(self) -> str:
        return f"{self.title} (#{self.pk})"

    @cached_property
    def family(self) -> list[int]:
        """Its id and those of the groups merged into it: whose events are shown as its own."""
        return [self.pk, *ErrorGroup.objects.filter(merged_into=self).values_list("pk", flat=True)]

    def mute_is_over(self, now: datetime) -> bool:
        """Whether one of the mute's conditions has come true."""
        return (
            (self.muted_until is not None and self.muted_until <= now)
            or (self.muted_until_events is not None and self.event_count >= self.muted_until_events)
            or (self.muted_until_users is not None and self.user_count >= self.muted_until_users)
        )

    def unmute(self) -> None:
        self.status = Status.OPEN
        self.muted_until = self.muted_until_events = self.muted_until_users = None


class GroupHash(models.Model):
    """Which group a fingerprint leads to. A group owns several after a merge or under a newer algorithm."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    hash = models.CharField(max_length=32)
    version = models.PositiveSmallIntegerField()
    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="hashes")
    home = models.ForeignKey(
        ErrorGroup, models.CASCADE, related_name="+", help_text="Where an un-merge takes it back."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "hash"], name="one_group_per_fingerprint")
        ]

    def __str__(self) -> str:
        return self.hash


class ErrorEventQuerySet(models.QuerySet["ErrorEvent"]):
    def received_between(
        self, since: datetime | None, until: datetime | None = None
    ) -> "ErrorEventQuerySet":
        events = self
        if since is not None:
            events = events.filter(pk__gte=received_id(since))
        if until is not None:
            events = events.filter(pk__lt=received_id(until))
        return events

    def newest_first(self) -> "ErrorEventQuerySet":
        return self.order_by("-pk")

    def with_event_id(self, event_id: uuid.UUID) -> "ErrorEventQuerySet":
        """By the id the app knows. Through SeenEvent, which is where that id is indexed."""
        return self.filter(
            pk__in=SeenEvent.objects.filter(event_id=event_id).values_list("event", flat=True)
        )


class ErrorEvent(models.Model):
    """One occurrence: the columns that are searched. Everything else it came with is in its payload."""

    id = models.BigIntegerField(primary_key=True, editable=False)
    # No constraints in the database on the busiest table: each costs two look-ups a row.
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="events", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    occurred_at = models.DateTimeField()
    severity = models.CharField(max_length=8, choices=Severity)
    environment = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=200, blank=True)
    category = models.CharField(max_length=64, blank=True)
    function = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    user_key = models.CharField(max_length=128, blank=True)
    organization = models.CharField(max_length=128, blank=True)
    order_ref = models.CharField(max_length=128, blank=True)
    payment_ref = models.CharField(max_length=128, blank=True)
    reservation_ref = models.CharField(max_length=128, blank=True)

    objects = ErrorEventQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["group", "id"], name="events_of_group"),
            models.Index(
                fields=["request_id"], condition=~Q(request_id=""), name="events_by_request"
            ),
            models.Index(
                fields=["user_key", "id"], condition=~Q(user_key=""), name="events_by_user"
            ),
            models.Index(
                fields=["organization", "id"],
                condition=~Q(organization=""),
                name="events_by_organization",
            ),
            models.Index(fields=["order_ref"], condition=~Q(order_ref=""), name="events_by_order"),
            models.Index(
                fields=["payment_ref"], condition=~Q(payment_ref=""), name="events_by_payment"
            ),
            models.Index(
                fields=["reservation_ref"],
                condition=~Q(reservation_ref=""),
                name="events_by_reservation",
            ),
            models.Index(
                fields=["group", "id"],
                condition=~Q(order_ref="") | ~Q(payment_ref="") | ~Q(reservation_ref=""),
                name="events_with_references",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} of group #{self.group_id}"

    @property
    def received_at(self) -> datetime:
        return datetime.fromtimestamp((self.id >> ID_BITS) / 1000, UTC)


class PayloadDictionary(models.Model):
    """A sample of a group's payload. Others of the group are stored as what differs from it: a fifth of the space."""

    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="+")
    content = models.BinaryField()
    created_at = models.DateTimeField()
    last_used_date = models.DateField()

    def __str__(self) -> str:
        return f"dictionary {self.pk} of group #{self.group_id}"


class EventPayload(models.Model):
    """The scrubbed, normalized event as zstd-compressed JSON; read it with `errors.payloads.payload_of`."""

    event = models.OneToOneField(
        ErrorEvent, models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    dictionary = models.ForeignKey(
        PayloadDictionary,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"payload of {self.event_id}"


class SeenEvent(models.Model):
    """Makes an event id unique within its app, over all partitions: an error sent twice is stored once."""

    pk = models.CompositePrimaryKey("event_id", "app_id")
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    event = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.event_id)


# --- counts, written in the transaction that stores what they count --------------------------------------


class MinuteCountQuerySet(models.QuerySet["MinuteCount"]):
    def between(self, since: datetime, until: datetime) -> "MinuteCountQuerySet":
        """The whole minutes that touch the span."""
        return self.filter(minute__gte=minute_of(since), minute__lte=minute_of(until))


def minute_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


def hour_start(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


class MinuteCount(models.Model):
    """Events per app, severity and minute (counted since 1970) of receiving: what rules and the health page read."""

    pk = models.CompositePrimaryKey("minute", "app_id", "severity")
    minute = models.PositiveIntegerField()
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    severity = models.CharField(max_length=8, choices=Severity)
    count = models.PositiveIntegerField()

    objects = MinuteCountQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.count} in minute {self.minute}"


class HourCount(models.Model):
    """Minutes added up, hour by hour once each is over: what a month's chart reads. Written by `errors.hours` only."""

    pk = models.CompositePrimaryKey("hour", "app_id", "severity")
    hour = models.PositiveIntegerField()
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    severity = models.CharField(max_length=8, choices=Severity)
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in hour {self.hour}"


class GroupHour(models.Model):
    """Events per group and hour (counted since 1970): sparklines and the group's chart."""

    pk = models.CompositePrimaryKey("group_id", "hour")
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="hours", db_constraint=False, db_index=False
    )
    hour = models.PositiveIntegerField()
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in hour {self.hour}"


class GroupUser(models.Model):
    """Whom a group touched, each once."""

    pk = models.CompositePrimaryKey("group_id", "user_key")
    group = models.ForeignKey(
        ErrorGroup, models.DO_NOTHING, related_name="users", db_constraint=False, db_index=False
    )
    user_key = models.CharField(max_length=128)

    def __str__(self) -> str:
        return self.user_key


class GroupTag(models.Model):
    """How often a group's events carried a tag's value; environment, release and function are among the keys."""

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


class GroupText(models.Model):
    """What the search line's words look through: titles, culprits and messages of a group's events, in lower case.

    Apart from the group, whose row changes with every event; this one changes when something new is said.
    """

    LONGEST = 6_000

    group = models.OneToOneField(
        ErrorGroup, models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:80]


class Discarded(models.Model):
    """What was not stored, per app and day: kinds the portal does not keep, quota refusals, what SDKs dropped themselves."""

    class Source(models.TextChoices):
        PORTAL = "portal", "Not kept by the portal"
        QUOTA = "quota", "Refused: over quota"
        INVALID = "invalid", "Refused: not readable"
        CLIENT = "client", "Dropped by the SDK"

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    date = models.DateField()
    source = models.CharField(max_length=8, choices=Source)
    category = models.CharField(max_length=64)
    reason = models.CharField(max_length=64, blank=True)
    count = models.PositiveBigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "discarded items"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "date", "source", "category", "reason"], name="one_sum_per_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.category} on {self.date}"


class UserReport(models.Model):
    """What a person wrote about an error: an SDK's user report or feedback."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    event_id = models.UUIDField(null=True, blank=True, db_index=True)
    message = models.TextField()
    received_at = models.DateTimeField()
    url = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.message[:80]


class GroupNote(models.Model):
    """A line of a group's history: what staff did or said, and what the portal did by itself."""

    class Kind(models.TextChoices):
        COMMENT = "comment"
        RESOLVED = "resolved"
        REOPENED = "reopened"
        MUTED = "muted"
        UNMUTED = "unmuted"
        REGRESSED = "regressed"
        ASSIGNED = "assigned"
        MERGED = "merged"
        UNMERGED = "unmerged"

    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="notes")
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    text = models.TextField(blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["group", "-at"], name="notes_of_group")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} at {self.at:%Y-%m-%d %H:%M}"
