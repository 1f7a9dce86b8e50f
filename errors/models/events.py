"""Define events and their payloads.

The id of an event encodes its time of receipt (`received_id`). Therefore, ordering by id is ordering by time of
receipt, a period corresponds to a range of ids, and PostgreSQL has one partition of a range of ids for each day.
"""

import uuid
from datetime import UTC, datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp
from errors.models.groups import ErrorGroup, Severity

# An event's id consists of the milliseconds since 1970 and 21 bits that distinguish events of the same millisecond.
ID_BITS = 21


def received_id(timestamp: datetime) -> int:
    """Return the smallest event id for this time of receipt."""
    return int(timestamp.timestamp() * 1000) << ID_BITS


def received_time(id: int) -> datetime:
    """Return the time at which the event with this id was received."""
    return datetime.fromtimestamp((id >> ID_BITS) / 1000, UTC)


class ErrorEventQuerySet(models.QuerySet["ErrorEvent"]):
    def newest_first(self) -> "ErrorEventQuerySet":
        return self.order_by("-pk")

    def with_event_id(self, event_id: uuid.UUID) -> "ErrorEventQuerySet":
        """Return the events with this id from the client. They are found through SeenEvent, which has the index."""
        return self.filter(
            pk__in=SeenEvent.objects.filter(event_id=event_id).values_list("event", flat=True)
        )

    def received_between(self, since: datetime, until: datetime) -> "ErrorEventQuerySet":
        """Return the events with `since` <= `received_at` < `until`, using the primary key, which encodes the time."""
        return self.filter(pk__gte=received_id(since), pk__lt=received_id(until))


class ErrorEvent(models.Model):
    """An occurrence of an error, with its searchable columns. The payload contains all other data."""

    id = models.BigIntegerField(primary_key=True, editable=False)
    # This is the busiest table. It has no foreign-key constraints, because each would cost a lookup per new row.
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
        return received_time(self.id)


class PayloadDictionary(models.Model):
    """A payload that is the compression dictionary of its group, and so makes the group's other payloads smaller."""

    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="+")
    content = models.BinaryField()
    created_at = models.DateTimeField()
    last_used_date = models.DateField()

    def __str__(self) -> str:
        return f"dictionary {self.pk} of group #{self.group_id}"


class EventPayload(models.Model):
    """The scrubbed, normalized event as zstd-compressed JSON. `errors.store.payloads.payload_of` reads it."""

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
    """The id of a stored event, as assigned by the client.

    The id is unique per app across all partitions, so an event that is sent twice is stored once.
    """

    pk = models.CompositePrimaryKey("event_id", "app_id")
    app = models.ForeignKey(
        ClientApp, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    event = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.event_id)
