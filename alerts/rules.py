"""The registry of alert rules: `alert_rules.py` of each app says what can be wrong and how it is measured.

A rule here is code's default; what staff edit is its row in `alerts.models.AlertRule`, made by `sync_rules()`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import models

from opsportal.lib.registry import Registry


class Severity(models.TextChoices):
    INFO = "info"
    MEDIUM = "medium"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info up to 4 for critical."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Reading:
    """One measured value. Several readings of one rule differ in `labels`; each combination is a problem of its own."""

    value: float
    samples: int | None = None  # how many observations it rests on; None: not applicable
    labels: tuple[tuple[str, str], ...] = ()
    message: str = ""  # a sentence for people, when the numbers alone do not tell
    title: str = (
        ""  # what the problem is called, when the rule's summary and the labels do not tell
    )
    metadata: dict[str, object] = field(default_factory=dict)


# What a measure may return: a number, None for "no data", or one Reading per label combination.
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
    below: bool = False  # True: breached when the value falls to or under the threshold
    clear_threshold: float | None = None  # None: 80 % of the threshold (125 % when `below`)
    min_samples: int = 0
    no_data: str = "ok"  # "ok", "keep" or "alert"
    cadence: str = (
        "minute"  # which schedule evaluates it: "minute", "errors", "performance", "delivery"
    )
    repeat: timedelta | None = None  # None: by severity
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
    no_data: str = "ok",
    cadence: str = "minute",
    repeat: timedelta | None = None,
    runbook: str = "",
) -> Callable[[Measure], Measure]:
    """Register a measure `(since, until) -> Measured`; it breaches when the value is greater than the threshold."""

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
