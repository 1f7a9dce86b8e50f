"""What a channel is: one file, one service. It gets a message and its configuration, and says what the provider answered."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is told, frozen when it was written; each channel lays it out its own way."""

    kind: str
    title: str
    text: str = ""
    severity: str = "info"
    source: str = ""
    url: str = ""
    runbook: str = ""
    facts: list[tuple[str, str]] = []
    at: datetime
    started_at: datetime | None = None
    # Everything about one problem's episode shares this, so that providers and mail programs keep it together.
    thread: str = ""
    component: str = ""
    group: str = ""
    recipients: list[str] = []
    html: str = ""  # digests and reports bring their own
    is_announced: bool = True  # False: an end of which nobody was told the beginning

    @property
    def is_over(self) -> bool:
        return self.kind == "resolved"


@dataclass(frozen=True)
class Receipt:
    """The provider took it."""

    answer: str = ""
    reference: str = ""


class DeliveryFailed(Exception):
    """The provider did not take it.

    `permanent`: trying again is pointless. `gone`: so is the whole channel. Not `was_tried`: nobody was called at all.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        gone: bool = False,
        retry_after: float | None = None,
        was_tried: bool = True,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent or gone
        self.gone = gone
        self.retry_after = retry_after
        self.was_tried = was_tried


@dataclass(frozen=True)
class Field:
    """One thing a channel must be told in the admin. `setting` names the portal setting it defaults to."""

    name: str
    label: str
    is_secret: bool = False
    is_required: bool = True
    setting: str = ""
    is_shown: bool = True  # False: comes from the settings only
    default: str = ""
    help: str = ""


Config = Mapping[str, str]


class Transport(ABC):
    kind: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    # "email" or "phone" when people can be added to it, "" when the address is part of the configuration.
    reaches_people_by: ClassVar[str] = ""
    # True: each address gets a message of its own, because a retry would reach the others again.
    is_one_by_one: ClassVar[bool] = False
    tells_acknowledged: ClassVar[bool] = False
    # False: of a problem that ended before anybody was told, nothing is said.
    tells_unannounced_end: ClassVar[bool] = True
    takes_digests: ClassVar[bool] = False
    max_per_minute: ClassVar[int] = 30

    @abstractmethod
    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        """Hand the message to the provider, once. Raises DeliveryFailed."""

    def recipients(self, config: Config) -> list[str]:
        """Addresses that are part of the configuration itself."""
        return addresses(config.get("recipients", ""))


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def addresses(value: str) -> list[str]:
    return [
        part.strip()
        for part in value.replace(";", ",").replace("\n", ",").split(",")
        if part.strip()
    ]
