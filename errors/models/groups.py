"""Define error groups, their fingerprints, searchable text and history."""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from core.clients.models import ClientApp


class Severity(models.TextChoices):
    """The severity of an error. A client's level `error` becomes high, and `fatal` becomes critical."""

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
        """Return the groups that were not merged into another group."""
        return self.filter(merged_into=None)

    def unresolved(self) -> "ErrorGroupQuerySet":
        """Return the groups that need attention: those that are open or regressed."""
        return self.visible().filter(status__in=[Status.OPEN, Status.REGRESSED])

    def for_app(self, app: ClientApp) -> "ErrorGroupQuerySet":
        return self.filter(app=app)

    def newest_first(self) -> "ErrorGroupQuerySet":
        return self.order_by("-last_seen_at", "-pk")


class ErrorGroup(models.Model):
    """A set of events with the same fingerprint, which presumably have the same cause."""

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
    regressed_in_release = models.CharField(max_length=200, blank=True)
    # The first event for which one of these conditions is met ends the mute. Staff can end it at any time.
    muted_until = models.DateTimeField(null=True, blank=True)
    muted_until_events = models.PositiveBigIntegerField(null=True, blank=True)
    muted_until_users = models.PositiveIntegerField(null=True, blank=True)
    merged_into = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="merged"
    )

    objects = ErrorGroupQuerySet.as_manager()

    class Meta:
        # Timestamps and counts change with every event. They are not indexed, so that PostgreSQL can update a row
        # without touching any index (a HOT update). Sorting the groups without an index is fast enough.
        indexes: ClassVar = [
            models.Index(fields=["status", "merged_into"], name="groups_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.title} (#{self.pk})"

    @cached_property
    def family(self) -> list[int]:
        """Return the ids of this group and of the groups merged into it. Pages show their events together."""
        return [self.pk, *ErrorGroup.objects.filter(merged_into=self).values_list("pk", flat=True)]

    def mute_is_over(self, now: datetime) -> bool:
        """Return True if one of the mute's conditions is met."""
        return (
            (self.muted_until is not None and self.muted_until <= now)
            or (self.muted_until_events is not None and self.event_count >= self.muted_until_events)
            or (self.muted_until_users is not None and self.user_count >= self.muted_until_users)
        )

    def unmute(self) -> None:
        self.status = Status.OPEN
        self.muted_until = self.muted_until_events = self.muted_until_users = None


class GroupHash(models.Model):
    """A fingerprint of a group. After a merge or a change of the algorithm, a group has several fingerprints."""

    class Kind(models.TextChoices):
        STORED = "stored", "From the event as received"
        # Names in minified code are short, so different bugs may have the same fingerprint.
        MINIFIED = "minified", "From minified frames of an app with source maps"
        ORIGINAL = "original", "From frames that a source map resolved"

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    hash = models.CharField(max_length=32)
    version = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.STORED)
    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="hashes")
    home = models.ForeignKey(
        ErrorGroup,
        models.CASCADE,
        related_name="+",
        help_text="The group to which an unmerge returns this fingerprint.",
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "hash"], name="one_group_per_fingerprint")
        ]

    def __str__(self) -> str:
        return self.hash


class GroupText(models.Model):
    """The searchable text of a group: titles, culprits, types and functions of its events, in lower case.

    The text has a separate table, because the row of a group changes with every event, but its text changes only when a
    new title, culprit, type or function occurs.
    """

    MAX_LENGTH = 6_000

    group = models.OneToOneField(
        ErrorGroup, models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:80]


class GroupNote(models.Model):
    """An entry in a group's history: an action or comment by staff, or an automatic change."""

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
        UNDONE = "undone"

    group = models.ForeignKey(ErrorGroup, models.CASCADE, related_name="notes")
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    text = models.TextField(blank=True)
    # These fields let staff undo an action. All notes of one action share a `batch`, and `previous` contains the values
    # before the action.
    batch = models.UUIDField(null=True, blank=True, editable=False)
    previous = models.JSONField(null=True, blank=True, editable=False, encoder=DjangoJSONEncoder)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["group", "-at"], name="notes_of_group"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="notes_by_batch"),
        ]

    TONES: ClassVar = {
        Kind.RESOLVED: "is-ok",
        Kind.REGRESSED: "is-critical",
        Kind.COMMENT: "is-accent",
    }

    def __str__(self) -> str:
        return f"{self.get_kind_display()} at {self.at:%Y-%m-%d %H:%M}"

    @property
    def tone(self) -> str:
        """Return the CSS class for this entry in the timeline."""
        return self.TONES.get(GroupNote.Kind(self.kind), "")
