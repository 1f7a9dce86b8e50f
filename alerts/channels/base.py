"""Define the interface of channels, which one module per service implements."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import msgspec
from django.db import models


class MessageKind(models.TextChoices):
    TRIGGERED = "triggered"
    REOPENED = "reopened"
    RAISED = "raised"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    # The message goes to one person, according to this person's notification rules.
    PAGED = "paged"
    ACKNOWLEDGED = "acknowledged"
    FLAPPING = "flapping"
    RESOLVED = "resolved"
    STORM = "storm"
    DIGEST = "digest"
    REPORT = "report"
    NOTICE = "notice"
    TEST = "test"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a notification, which each channel formats for its service.

    The content is composed when the notification is created. The first attempt to send the notification adds the cost
    of the alert and merges messages about related alerts. Retries send the same content.
    """

    kind: MessageKind
    title: str
    text: str = ""
    severity: str = "info"
    source: str = ""
    url: str = ""
    runbook: str = ""
    facts: list[tuple[str, str]] = []
    # The exact cost, which the first attempt to send adds, such as "11 orders, 640.00 EUR at risk, 3 recovered".
    impact: str = ""
    # The estimated cost, which is added together with `impact`.
    estimate: str = ""
    at: datetime
    started_at: datetime | None = None
    # All messages about one episode of a problem share this key, so that providers and e-mail clients group them.
    thread: str = ""
    component: str = ""
    group: str = ""
    recipients: list[str] = []
    html: str = ""  # Set only for digests and reports, which have their own templates.
    # Set only for a message to one person: a signed URL for acting on the alert without signing in.
    action_url: str = ""
    # The alert's id and episode, such as "17.1". Buttons and replies identify the alert by this reference.
    alert_ref: str = ""
    # References of the related alerts whose messages were merged into this one.
    related_refs: list[str] = []
    # Hosts, apps and components that the alert concerns, such as "host shop.example". Messages about alerts that have
    # one of them in common are merged.
    causes: list[str] = []
    # False if the message is a resolution and the alert was never delivered.
    is_announced: bool = True

    @property
    def body(self) -> str:
        """Return the text followed by the lines about orders, for channels that show a single block of text."""
        return "\n".join(part for part in (self.text, self.impact, self.estimate) if part)

    @property
    def alert_refs(self) -> list[str]:
        """Return the references of all alerts that the message is about. Buttons in the message act on these alerts."""
        return [self.alert_ref, *self.related_refs] if self.alert_ref else []

    @property
    def is_resolved(self) -> bool:
        return self.kind is MessageKind.RESOLVED

    @property
    def state_word(self) -> str:
        """Return the severity, or "resolved" or "resolved after 4 min" for a resolution."""
        if not self.is_resolved:
            return self.severity
        prefix, separator, _ = self.title.partition(": ")
        return prefix.lower() if separator and prefix.startswith("Resolved") else "resolved"

    @property
    def bare_title(self) -> str:
        """Return the title without the prefix "Resolved: ", for places that also show `state_word`."""
        prefix, separator, rest = self.title.partition(": ")
        is_repeated = self.is_resolved and separator and prefix.startswith("Resolved")
        return rest if is_repeated else self.title


@dataclass(frozen=True)
class Receipt:
    """The provider's confirmation that it accepted a message."""

    answer: str = ""
    reference: str = ""


class DeliveryFailed(Exception):
    """The provider did not accept the message.

    If `is_permanent` is set, the provider refused this message, but may accept other messages. If `is_gone` is set, the
    channel's address or credentials are no longer valid, so messages wait until staff have fixed the channel. If
    neither is set, the channel is currently unavailable, and the message is retried. `retry_after` is the delay in
    seconds that the provider requested.
    """

    def __init__(
        self,
        message: str,
        *,
        is_permanent: bool = False,
        is_gone: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.is_gone = is_gone
        self.retry_after = retry_after


@dataclass(frozen=True)
class Field:
    """An input in the form of a channel. `setting` names the portal's setting that can replace an empty input."""

    name: str
    label: str
    is_secret: bool = False
    is_required: bool = True
    setting: str = ""
    is_flag: bool = False  # If True, the input is a checkbox, whose value is "True" or empty.
    is_url: bool = False  # If True, the value is a URL, which is checked when staff enter it.
    is_shown: bool = True  # If False, the value comes only from the portal's settings.
    default: str = ""
    help: str = ""
    # Replaces the default check of an `is_url` field whose value is not an HTTP URL. Must raise ForbiddenAddress for
    # each URL that `send()` would refuse.
    check: Callable[[str], None] | None = None


Config = Mapping[str, str]


class Transport(ABC):
    kind: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    # "email" or "phone" if people can be recipients; "" if the configuration contains the address.
    contact_field: ClassVar[str] = ""
    # If True, each address gets a separate message, so that a retry does not reach addresses that already got it.
    sends_individually: ClassVar[bool] = False
    sends_acknowledgments: ClassVar[bool] = False
    # If False, nothing is sent about a problem that was resolved before its alert could be delivered.
    sends_unannounced_resolutions: ClassVar[bool] = True
    # False if the service groups alerts itself or needs a separate message for each alert.
    supports_groups: ClassVar[bool] = True
    supports_digests: ClassVar[bool] = False
    max_per_minute: ClassVar[int] = 30

    @abstractmethod
    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        """Send the message to the provider once. Raises DeliveryFailed if the provider does not accept the message.

        Implementations must not use the database, because they run in the sending threads.
        """

    def recipients(self, config: Config) -> list[str]:
        """Return the addresses in the configuration, without those of the channel's people and teams."""
        return split_addresses(config.get("recipients", ""))


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` characters of the text. If the text was cut, the result ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def split_addresses(value: str) -> list[str]:
    return [
        part.strip()
        for part in value.replace(";", ",").replace("\n", ",").split(",")
        if part.strip()
    ]
