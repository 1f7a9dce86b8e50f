"""Define the content of an import: objects of a configuration file, their history, and notes about what is lost."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.text import slugify

from health.models import Tier

Values = dict[str, Any]
TITLE_LENGTH = 100


class UnreadableFile(Exception):
    pass


@dataclass
class Point:
    """The results of a component in one hour or UTC day."""

    healthy: int = 0
    unhealthy: int = 0
    maintenance: int = 0
    total_ms: float = 0.0
    highest_ms: float = 0.0


History = dict[tuple[Tier, datetime], Point]


@dataclass
class Imported:
    document: dict[str, list[Values]] = field(default_factory=dict)
    # Each note describes something that is not imported, or only in part.
    notes: list[str] = field(default_factory=list)
    # The keys are names of components.
    history: dict[str, History] = field(default_factory=dict)
    # The keys are names of heartbeats.
    ping_keys: dict[str, uuid.UUID] = field(default_factory=dict)

    def add(self, kind: str, values: Values) -> None:
        self.document.setdefault(kind, []).append(
            {name: value for name, value in values.items() if value is not None}
        )


def name_of(prefix: str, number: object, title: str) -> str:
    """Return the name of an object in configuration files.

    The name contains the object's number in the other system, so that a second import finds the object again.
    """
    return f"{prefix}-{number}-{slugify(title)}"[:100].strip("-")


def literal(value: Any) -> Any:
    """Escape `${` in all strings of a value, because `${` begins a reference in configuration files."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: literal(one) for key, one in value.items()}
    return [literal(one) for one in value] if isinstance(value, list) else value


def to_minutes(seconds: float, note: Callable[[str], None], what: str, *, lowest: int = 1) -> int:
    """Round seconds up to whole minutes, but at least `lowest`. Add a note if the value changes."""
    minutes = max(lowest, -int(-seconds // 60))
    if minutes * 60 != seconds:
        note(f"{what} is {minutes} min instead of {seconds:g} s")
    return minutes


def day_of(hour: datetime) -> datetime:
    return hour.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
