"""The interface of a channel. Each service has one file, which sends a message and reports the provider's answer."""

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
    PAGED = "paged"  # to a person, by the person's own notification rules
    ACKNOWLEDGED = "acknowledged"
    FLAPPING = "flapping"
    RESOLVED = "resolved"
    STORM = "storm"
    DIGEST = "digest"
    REPORT = "report"
    NOTICE = "notice"
    TEST = "test"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a notification, frozen when it is created. Each channel formats it for its service."""

    kind: MessageKind
    title: str
    text: str = ""
    severity: str = "info"
    source: str = ""
    url: str = ""
    runbook: str = ""
    facts: list[tuple[str, str]] = []
    impact: str = (
        ""  # "11 orders, 640.00 EUR at risk, 3 recovered"; set when the message is first sent
    )
    estimate: str = ""  # estimated cost of the time of the problem; never part of `impact`
    at: datetime
    started_at: datetime | None = None
    # Shared by all messages about one episode of a problem, so that providers and e-mail clients group them.
    thread: str = ""
    component: str = ""
    group: str = ""
    recipients: list[str] = []
    html: str = ""  # set for digests and reports, which have templates of their own
    # Of a message to one person: a signed address at which the person acknowledges without signing in.
    action_url: str = ""
    alert_ref: str = ""  # "17.1", the alert and its episode: by which replies and buttons name it
    # what the alert is about, such as "host shop.example": alerts that share one become one message
    causes: list[str] = []
    is_announced: bool = True  # False: a resolution whose alert was never delivered

    @property
    def body(self) -> str:
        """Return the text followed by the lines about orders, for channels that show one block of text."""
        return "\n".join(part for part in (self.text, self.impact, self.estimate) if part)

    @property
    def is_resolved(self) -> bool:
        return self.kind is MessageKind.RESOLVED

    @property
    def state_word(self) -> str:
        """Return the severity or, of a resolution, "resolved" or "resolved after 4 min"."""
        if not self.is_resolved:
            return self.severity
        prefix, separator, _ = self.title.partition(": ")
        return prefix.lower() if separator and prefix.startswith("Resolved") else "resolved"

    @property
    def bare_title(self) -> str:
        """Return the title for a place that shows `state_word` next to it, so without "Resolved: "."""
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

    `is_permanent`: the provider will not accept this message, but may accept others. `is_gone`: the channel's address
    or credentials are no longer valid, so the message waits until staff have repaired the channel. Otherwise, the
    channel does not work at the moment, and the message is retried.
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
    """One input of a channel's form in the admin. `setting` names the portal setting that it falls back to."""

    name: str
    label: str
    is_secret: bool = False
    is_required: bool = True
    setting: str = ""
    is_flag: bool = False  # a checkbox; the value is "True" or empty
    is_url: bool = False  # True: private addresses are refused when staff enter one
    is_shown: bool = True  # False: read from the settings only
    default: str = ""
    help: str = ""
    # For an `is_url` field whose value is not http(s): raises ForbiddenAddress for a URL that `send()` would refuse.
    check: Callable[[str], None] | None = None


Config = Mapping[str, str]


class Transport(ABC):
    kind: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    # "email" or "phone" if people can be added as recipients; "" if the address is part of the configuration.
    contact_field: ClassVar[str] = ""
    # True: each address gets a message of its own, because retrying a shared one would reach the others twice.
    sends_individually: ClassVar[bool] = False
    sends_acknowledgments: ClassVar[bool] = False
    # False: send nothing about a problem that was resolved before its alert could be delivered.
    sends_unannounced_resolutions: ClassVar[bool] = True
    # False: the service groups alerts itself, or acts on each of them.
    supports_groups: ClassVar[bool] = True
    supports_digests: ClassVar[bool] = False
    max_per_minute: ClassVar[int] = 30

    @abstractmethod
    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        """Send the message to the provider, once. Raise DeliveryFailed if it is not accepted."""

    def recipients(self, config: Config) -> list[str]:
        """Return the addresses that are part of the configuration itself."""
        return split_addresses(config.get("recipients", ""))


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` characters, ending in an ellipsis if the text was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def split_addresses(value: str) -> list[str]:
    return [
        part.strip()
        for part in value.replace(";", ",").replace("\n", ",").split(",")
        if part.strip()
    ]
