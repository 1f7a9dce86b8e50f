"""The registry of alert rules. Each app declares its rules in a module named `alert_rules`.

A rule here holds the defaults from code. `sync_rules()` creates a row in `alerts.models.AlertRule` for each of them,
and staff edit that row.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import models

from core.lib.registry import Registry


class Severity(models.TextChoices):
    INFO = "info"
    MEDIUM = "medium"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return 0 for info up to 4 for critical."""
        return list(Severity).index(self)


class NoData(models.TextChoices):
    """The verdict for an evaluation that has no value, or too few samples."""

    OK = "ok", "counts as fine"
    KEEP = "keep", "changes nothing"
    ALERT = "alert", "counts as a breach"


class Cadence(models.TextChoices):
    """The schedule that evaluates a rule."""

    MINUTE = "minute", "every minute"
    ERRORS = "errors", "every minute, and the hourly error check (minute 0)"
    PERFORMANCE = "performance", "every minute, and the hourly performance check (minute 15)"
    DELIVERY = "delivery", "every minute, and the hourly delivery check (minute 30)"


@dataclass(frozen=True)
class Reading:
    """One measured value. Readings of one rule differ in `labels`; each combination of labels is a separate problem."""

    value: float
    samples: int | None = None  # number of observations behind the value; None: not applicable
    labels: tuple[tuple[str, str], ...] = ()
    message: str = ""  # replaces the generated sentence about value and threshold
    title: str = ""  # replaces the title made of the rule's summary and the labels
    metadata: dict[str, object] = field(default_factory=dict)


# The result of a measure: a number, None for "no data", or one Reading per combination of labels.
Measured = float | int | Reading | Iterable[Reading] | None
Measure = Callable[[datetime, datetime], Measured]


@dataclass(frozen=True)
class Rule:
    name: str
    summary: str
    measure: Measure
    unit: str
    threshold: float
    window: timedelta
    severity: Severity
    alert_type: str
    below: bool = False  # True: breached when the value is at or below the threshold
    clear_threshold: float | None = None  # None: 80 % of the threshold (125 % when `below`)
    min_samples: int = 0
    no_data: NoData = NoData.OK
    cadence: Cadence = Cadence.MINUTE
    repeat: timedelta | None = None  # interval between reminders; None: by severity
    runbook: str = ""


registry: Registry[Rule] = Registry("alert_rules")


def alert_rule(
    name: str,
    *,
    summary: str,
    unit: str,
    threshold: float,
    window: timedelta,
    severity: Severity,
    alert_type: str = "",
    below: bool = False,
    clear_threshold: float | None = None,
    min_samples: int = 0,
    no_data: NoData = NoData.OK,
    cadence: Cadence = Cadence.MINUTE,
    repeat: timedelta | None = None,
    runbook: str = "",
) -> Callable[[Measure], Measure]:
    """Register a measure `(since, until) -> Measured`. It breaches when the value exceeds the threshold."""

    def register(measure: Measure) -> Measure:
        registry.add(
            name,
            Rule(
                name=name,
                summary=summary,
                measure=measure,
                unit=unit,
                threshold=threshold,
                window=window,
                severity=severity,
                alert_type=alert_type or name,
                below=below,
                clear_threshold=clear_threshold,
                min_samples=min_samples,
                no_data=no_data,
                cadence=cadence,
                repeat=repeat,
                runbook=runbook,
            ),
        )
        return measure

    return register
