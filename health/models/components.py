"""Define components (the portal's own checks, monitors, heartbeats and certificates), their results and uptime."""

import re
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.apps import apps as registry
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from core.lib.app_access import Apps
from health.verdict import Result, State, Status


class StatusChoice(models.TextChoices):
    HEALTHY = "healthy", "Operational"
    DEGRADED = "degraded", "Degraded"
    UNHEALTHY = "unhealthy", "Down"
    NOT_CONFIGURED = "not_configured", "Not configured"
    UNKNOWN = "unknown", "No result yet"


class ComponentKind(models.TextChoices):
    CHECK = "check", "Portal check"
    MONITOR = "monitor", "Monitor"
    HEARTBEAT = "heartbeat", "Heartbeat"
    CERTIFICATE = "certificate", "Certificate"


_TAG = re.compile(r"[\w.:/-]{1,40}")


def split_tags(text: str) -> list[str]:
    """Split a string such as "eu, Shop" into tags in lower case, sorted and without duplicates."""
    return sorted({part.strip().lower() for part in text.split(",") if part.strip()})


def validate_tags(value: str) -> None:
    for tag in split_tags(value):
        if not _TAG.fullmatch(tag):
            raise ValidationError(
                f"“{tag[:50]}” is not a tag: use up to 40 letters, digits and - _ . : /, with commas between tags."
            )


class TagsField(models.CharField):  # type: ignore[type-arg]  # not generic at runtime
    """A field that stores tags as one string, such as "eu, shop", in lower case, sorted and without duplicates."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": 300, "validators": [validate_tags], **kwargs})

    def get_prep_value(self, value: Any) -> Any:
        return ", ".join(split_tags(value)) if isinstance(value, str) else value


def having_tag(tag: str) -> Q:
    """Return a condition for objects whose field `tags` contains the tag."""
    return (
        Q(tags=tag)
        | Q(tags__startswith=f"{tag}, ")
        | Q(tags__endswith=f", {tag}")
        | Q(tags__contains=f", {tag}, ")
    )


# The key of an alert about a component is this prefix and the component's name.
KEY_PREFIX = "health:"
_OWNED_KINDS = ("Monitor", "Heartbeat", "Certificate")


class ComponentQuerySet(models.QuerySet["Component"]):
    def checks(self) -> "ComponentQuerySet":
        return self.filter(kind=ComponentKind.CHECK)

    def in_use(self) -> "ComponentQuerySet":
        return self.filter(is_enabled=True).exclude(status=Status.NOT_CONFIGURED)

    def failing(self) -> "ComponentQuerySet":
        return self.filter(is_enabled=True, status__in=[Status.DEGRADED, Status.UNHEALTHY])

    def in_order(self) -> "ComponentQuerySet":
        return self.order_by("-is_required", "kind", "title", "pk")


class Component(models.Model):
    """An object that can be up or down.

    `status` ignores brief changes, while the fields `last_*` describe the newest result.
    """

    kind = models.CharField(max_length=20, choices=ComponentKind)
    name = models.SlugField(max_length=100, unique=True)
    title = models.CharField(max_length=100)
    is_required = models.BooleanField(
        "required", default=False, help_text="A failure makes the whole portal unhealthy."
    )
    is_public = models.BooleanField("on the status page", default=False)
    group = models.CharField(
        max_length=100,
        blank=True,
        help_text="Components with the same group are shown together, also on the status page.",
    )
    position = models.PositiveSmallIntegerField(
        "position on the status page",
        default=0,
        db_default=0,
        help_text="Components with lower numbers come first, and so do their groups.",
    )
    tags = TagsField(
        blank=True,
        default="",
        db_default="",
        help_text="Separate tags by commas, for example eu, shop. Lists can be filtered by tags.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    fail_after = models.PositiveSmallIntegerField(
        default=2,
        help_text="The number of consecutive failures after which the component counts as down.",
    )
    recover_after = models.PositiveSmallIntegerField(
        default=2,
        help_text="The number of consecutive successes after which the component counts as up.",
    )
    status = models.CharField(
        max_length=15, choices=StatusChoice, default=Status.UNKNOWN, editable=False
    )
    since = models.DateTimeField(null=True, blank=True, editable=False)
    against = models.SmallIntegerField(default=0, editable=False)
    last_status = models.CharField(
        max_length=15, choices=StatusChoice, default=Status.UNKNOWN, editable=False
    )
    last_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_duration_ms = models.FloatField(default=0, editable=False)
    last_message = models.CharField(max_length=500, blank=True, editable=False)
    is_alerted = models.BooleanField(default=False, editable=False)

    objects = ComponentQuerySet.as_manager()

    STATE: ClassVar = [
        "status",
        "since",
        "against",
        "last_status",
        "last_at",
        "last_duration_ms",
        "last_message",
    ]

    def __str__(self) -> str:
        return self.title

    @classmethod
    def app_condition(cls, apps: Apps) -> Q:
        """Return a condition for components that belong to one of these apps, or to no app.

        See core.lib.app_access.
        """
        owners = cls.load_owners().items()
        return ~Q(pk__in=[pk for pk, owned_by in owners if not owned_by & apps])

    @classmethod
    def load_owners(cls) -> dict[int, Apps]:
        """Map each component's id to its apps, without components that belong to no app.

        A certificate belongs to the apps whose monitors use its address. If a monitor without an app uses the address,
        the certificate belongs to no app.
        """
        kinds = {one: registry.get_model(f"health.{one}")._default_manager for one in _OWNED_KINDS}
        monitors = list(kinds["Monitor"].only("app", "url"))
        owned = [(one.pk, one.app_id) for one in monitors]
        owned += kinds["Heartbeat"].values_list("pk", "app_id")
        owners = {pk: frozenset([app_id]) for pk, app_id in owned if app_id is not None}
        users: dict[object, set[int | None]] = {}
        for one in monitors:
            users.setdefault(one.certificate_address, set()).add(one.app_id)
        for certificate in kinds["Certificate"].only("host", "port"):
            apps = users.get(certificate.address, {None})
            if None not in apps:
                owners[certificate.pk] = frozenset(app for app in apps if app is not None)
        return owners

    @property
    def alert_key(self) -> str:
        """Return the key of the alert about this component."""
        return f"{KEY_PREFIX}{self.name}"

    @property
    def state(self) -> State | None:
        """Return the state for `health.verdict`, or None before the first result."""
        if self.last_at is None or self.since is None:
            return None
        result = Result(
            Status(self.last_status), self.last_at, self.last_duration_ms, self.last_message
        )
        return State(Status(self.status), self.since, result, self.against)

    @state.setter
    def state(self, state: State) -> None:
        self.status, self.since, self.against = state.status, state.since, state.against
        self.last_status, self.last_at = state.result.status, state.result.at
        self.last_duration_ms = state.result.duration_ms
        self.last_message = state.result.message[:500]


RESULT_RETENTION = timedelta(hours=48)


class CheckResult(models.Model):
    """A single result of a component.

    Results are deleted after 48 hours, but `Uptime` keeps their counts.
    """

    component = models.ForeignKey(Component, models.CASCADE, related_name="results")
    at = models.DateTimeField()
    status = models.CharField(max_length=15, choices=StatusChoice)
    duration_ms = models.FloatField()
    message = models.CharField(max_length=500, blank=True)
    is_maintained = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The result was recorded during a maintenance window.",
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["component", "-at"], name="results_newest_first"),
            models.Index(fields=["at"], name="results_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.component_id} {self.at:%Y-%m-%d %H:%M:%S} {self.status}"


class UptimeQuerySet(models.QuerySet["Uptime"]):
    def between(self, since: datetime, until: datetime) -> "UptimeQuerySet":
        return self.filter(start__gte=since, start__lt=until)


class Uptime(models.Model):
    """The counts of a component's results in one hour or UTC day.

    Results during maintenance are counted separately.
    """

    component = models.ForeignKey(Component, models.CASCADE, related_name="uptimes")
    tier = models.PositiveIntegerField()  # Contains Tier.HOUR or Tier.DAY.
    start = models.DateTimeField()
    healthy = models.PositiveIntegerField(default=0)
    degraded = models.PositiveIntegerField(default=0)
    unhealthy = models.PositiveIntegerField(default=0)
    maintenance = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    highest_ms = models.FloatField(default=0)

    objects = UptimeQuerySet.as_manager()

    KEY: ClassVar = ("component", "tier", "start")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["component", "tier", "start"], name="one_uptime_point")
        ]
        indexes: ClassVar = [models.Index(fields=["tier", "start"], name="uptime_by_age")]

    def __str__(self) -> str:
        return f"{self.component_id} {self.start:%Y-%m-%d %H:%M}"
