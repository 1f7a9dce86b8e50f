"""Define the hooks of `alerts`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| alert_types | `alert_type("high-error-rate", name=…, severity=…, channels=…)`, a call | none |
| alert_rules | `@alert_rule("errors.rate", summary=…, unit="%", threshold=5, window=…, severity=…)` | `(since, until) -> Measured` |
| metric_readers | `@metric_reader("duration: mean, ms", names=list_calls)` | `(selector, since, until) -> Measured` |
| instant_checks | `@instant_check("health checks")` | `(now) -> str` |
| digest_sources | `@digest_source("errors")` | `(since, until) -> Iterable[DigestItem]` |
| report_sections | `@report_section("payments", title="Payments")` | `(since, until) -> list[Fact]` |

docs/howto/ describes how to add an alert rule and other hooks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, auto

from django.db import models

from core.lib.registry import Registry
from impact.extension_points import Problem
from impact.references import References

# --- severities -------------------------------------------------------------------------------


class Severity(models.TextChoices):
    INFO = "info"
    MEDIUM = "medium"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return the rank of the severity, from 0 for info to 4 for critical."""
        return list(Severity).index(self)


# --- alert types -------------------------------------------------------------------------------

# Names of channels to which alert types can initially be routed. Staff can route a type to other channels later.
ALL_CHANNELS = ("email", "slack", "sms", "pagerduty")
TEAM_CHANNELS = ("email", "slack")


@dataclass(frozen=True)
class TypeDefaults:
    """The initial settings of an alert type. Staff can change them, and their changes are never overwritten."""

    slug: str
    name: str
    severity: Severity
    respond_within: timedelta | None = None  # None means that no response is expected.
    channels: tuple[str, ...] = ()  # These channels are notified immediately.
    # These channels are notified if no one has responded within `respond_within`.
    escalate_to: tuple[str, ...] = ()
    # If True, the alerts are only listed in the daily digest and cause no notification.
    digest_only: bool = False


alert_types: Registry[TypeDefaults] = Registry("alert_types")


def alert_type(
    slug: str,
    *,
    name: str,
    severity: Severity,
    respond_within: timedelta | None = None,
    channels: tuple[str, ...] = (),
    escalate_to: tuple[str, ...] = (),
    digest_only: bool = False,
) -> None:
    """Register an alert type. The next migration creates its row, so that staff can route it before its first alert.

    A type without response time, channels and `digest_only` gets the defaults for its severity.
    """
    defaults = TypeDefaults(
        slug, name, severity, respond_within, channels, escalate_to, digest_only
    )
    alert_types.add(slug, defaults)


# --- alert rules -------------------------------------------------------------------------------


class NoData(models.TextChoices):
    """The verdict on an evaluation that yields no value or too few samples."""

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
    """One measured value.

    The readings of a rule differ in `labels`; each combination of labels is a separate problem.
    """

    # None means that the value cannot be judged now. An existing alert then keeps its state.
    value: float | None
    # Number of observations behind the value, or None if a number would not be meaningful.
    samples: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    # Replaces the generated sentence about the value and the threshold.
    message: str = ""
    # Replaces the default title, which consists of the rule's summary and the labels.
    title: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    # Orders, users and other objects that the problem is known to affect.
    references: References = field(default_factory=References)


# A measure returns a number, None for "no data", or one Reading for each combination of labels.
Measured = float | int | Reading | Iterable[Reading] | None
Measure = Callable[[datetime, datetime], Measured]


# Takes the labels of an alert, and the start and end of its problem. Returns the problems behind the alert, for example
# the error groups whose events the rule counted.
FindProblems = Callable[[Mapping[str, str], datetime, datetime], Iterable[Problem]]


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
    # If True, the rule is breached when the value is at or below the threshold.
    below: bool = False
    # None stands for the default of `Limits.effective_clear_threshold`, usually 80 % of the threshold.
    clear_threshold: float | None = None
    min_samples: int = 0
    no_data: NoData = NoData.OK
    cadence: Cadence = Cadence.MINUTE
    # The interval between reminders. None stands for the interval of the severity.
    repeat: timedelta | None = None
    runbook: str = ""
    # Returns the problems behind an alert of this rule, whose orders count as affected by the alert.
    problems: FindProblems | None = None
    depends_on: tuple[str, ...] = ()  # An outage of one of these components explains a breach.


alert_rules: Registry[Rule] = Registry("alert_rules")


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
    problems: FindProblems | None = None,
    depends_on: tuple[str, ...] = (),
) -> Callable[[Measure], Measure]:
    """Register a measure `(since, until) -> Measured`. By default, a value that exceeds the threshold is a breach."""
    return alert_rules.decorator(
        name,
        lambda measure: Rule(
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
            problems=problems,
            depends_on=depends_on,
        ),
    )


# --- metric readers ----------------------------------------------------------------------------


# Takes the selected name and the window. Returns the same types as the `measure` of a rule.
ReadMetric = Callable[[str, datetime, datetime], Measured]


@dataclass(frozen=True)
class MetricReader:
    name: str
    read: ReadMetric
    names: Callable[[], Iterable[str]]  # Lists the metrics that staff can select.
    unit: str = ""


metric_readers: Registry[MetricReader] = Registry("metric_readers")


def metric_reader(
    name: str, *, names: Callable[[], Iterable[str]], unit: str = ""
) -> Callable[[ReadMetric], ReadMetric]:
    """Register a reader under the name that staff select, such as "duration: mean, ms"."""
    return metric_readers.decorator(name, lambda read: MetricReader(name, read, names, unit))


# --- instant checks ----------------------------------------------------------------------------


# Takes `now` and returns the result in a few words.
InstantCheck = Callable[[datetime], str]
instant_checks: Registry[InstantCheck] = Registry("instant_checks")


def instant_check(name: str) -> Callable[[InstantCheck], InstantCheck]:
    """Register a check that users can start with a button. The check returns its result in a few words."""
    return instant_checks.decorator(name, lambda check: check)


# --- digest sources ----------------------------------------------------------------------------


class DigestReason(StrEnum):
    NEW = auto()
    WORSE = auto()
    REGRESSED = auto()


@dataclass(frozen=True)
class DigestItem:
    """One item of a digest. Items with the same `key` are about the same subject, also in different digests."""

    key: str
    title: str
    reason: DigestReason
    count: int
    first_at: datetime
    last_at: datetime
    severity: Severity = Severity.HIGH
    sample: str = ""
    url: str = ""  # A path within the portal.
    # If this time is later than the item's last mention, the item may be listed again within a day.
    regressed_at: datetime | None = None


# Takes `since` and `until`, and returns the items that were new, worsened or regressed in that period.
DigestSource = Callable[[datetime, datetime], Iterable[DigestItem]]
digest_sources: Registry[DigestSource] = Registry("digest_sources")


def digest_source(name: str) -> Callable[[DigestSource], DigestSource]:
    """Register a source of items for the error digest."""
    return digest_sources.decorator(name, lambda source: source)


# --- report sections ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """A line of a section: a label, a value with its unit, and optionally the value of the previous week."""

    label: str
    value: str
    before: str = ""


ReportSection = Callable[[datetime, datetime], list[Fact]]


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    order: int
    facts: ReportSection


report_sections: Registry[Section] = Registry("report_sections")


def report_section(
    name: str, *, title: str, order: int = 500
) -> Callable[[ReportSection], ReportSection]:
    """Register a section as a function `(since, until) -> facts`. A section without facts is omitted."""
    return report_sections.decorator(name, lambda facts: Section(name, title, order, facts))
