"""Define the hooks of `alerts`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | the function |
| --- | --- | --- |
| alert_types | `alert_type("high-error-rate", name=…, severity=…, channels=…)`, a call | none |
| alert_rules | `@alert_rule("errors.rate", summary=…, unit="%", threshold=5, window=…, severity=…)` | `(since, until) -> Measured` |
| metric_readers | `@metric_reader("duration: mean, ms", names=list_calls)` | `(selector, since, until) -> Measured` |
| instant_checks | `@instant_check("health checks")` | `(now) -> str` |
| digest_sources | `@digest_source("errors")` | `(since, until) -> Iterable[DigestItem]` |
| report_sections | `@report_section("payments", title="Payments")` | `(since, until) -> list[Fact]` |

How to add one: docs/howto/.
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
        """Return 0 for info up to 4 for critical."""
        return list(Severity).index(self)


# --- alert types -------------------------------------------------------------------------------

# The names of the channels that exist after the first start. Staff may assign other channels to a type later.
ALL_CHANNELS = ("email", "slack", "sms", "pagerduty")
TEAM_CHANNELS = ("email", "slack")


@dataclass(frozen=True)
class TypeDefaults:
    """The initial settings of an alert type. Staff can change them, and their changes are never overwritten."""

    slug: str
    name: str
    severity: Severity
    respond_within: timedelta | None = None  # None if no response is expected.
    channels: tuple[str, ...] = ()  # These channels are notified immediately.
    escalate_to: tuple[
        str, ...
    ] = ()  # These channels are notified if the alert is still unanswered after `respond_within`.
    digest_only: bool = False  # True to list the alerts in the daily digest, without notifications.


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
    """Register an alert type. It is created at the first start, so staff can route it before its first alert.

    A type without response time and channels gets the defaults of its severity, like a type that is not registered.
    """
    defaults = TypeDefaults(
        slug, name, severity, respond_within, channels, escalate_to, digest_only
    )
    alert_types.add(slug, defaults)


# --- alert rules -------------------------------------------------------------------------------


class NoData(models.TextChoices):
    """The verdict on an evaluation that has no value, or too few samples."""

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

    value: float | None  # None if the value cannot be judged now; an alert then stays as it is.
    # The number of observations behind the value, or None if it does not apply.
    samples: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    message: str = ""  # This replaces the generated sentence about value and threshold.
    title: str = ""  # This replaces the title that consists of the rule's summary and the labels.
    metadata: dict[str, object] = field(default_factory=dict)
    references: References = field(
        default_factory=References
    )  # The orders, users and other objects that the problem affects, as far as they are known.


# The result of a measure is a number, None for "no data", or one Reading per combination of labels.
Measured = float | int | Reading | Iterable[Reading] | None
Measure = Callable[[datetime, datetime], Measured]


# The function takes the alert's labels and the time of its breach, and returns, for example, the error groups that it
# counted.
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
    below: bool = False  # True if the rule is breached when the value is at or below the threshold.
    clear_threshold: float | None = None  # None for 80 % of the threshold (125 % when `below`).
    min_samples: int = 0
    no_data: NoData = NoData.OK
    cadence: Cadence = Cadence.MINUTE
    # The interval between reminders, or None for the interval of the severity.
    repeat: timedelta | None = None
    runbook: str = ""
    # This function returns further problems whose orders an alert of this rule affects.
    problems: FindProblems | None = None
    depends_on: tuple[str, ...] = ()  # The components whose outage explains a breach.


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
    """Register a measure `(since, until) -> Measured`. It breaches when the value exceeds the threshold."""
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


# The function takes the selected name, since and until. It returns the same as the `measure` of a rule.
ReadMetric = Callable[[str, datetime, datetime], Measured]


@dataclass(frozen=True)
class MetricReader:
    name: str
    read: ReadMetric
    names: Callable[[], Iterable[str]]  # The metrics that can be selected.
    unit: str = ""


metric_readers: Registry[MetricReader] = Registry("metric_readers")


def metric_reader(
    name: str, *, names: Callable[[], Iterable[str]], unit: str = ""
) -> Callable[[ReadMetric], ReadMetric]:
    """Register a reader under the name that staff select, such as "performance mean, ms"."""
    return metric_readers.decorator(name, lambda read: MetricReader(name, read, names, unit))


# --- instant checks ----------------------------------------------------------------------------


InstantCheck = Callable[[datetime], str]  # The function takes `now` and returns a short outcome.
instant_checks: Registry[InstantCheck] = Registry("instant_checks")


def instant_check(name: str) -> Callable[[InstantCheck], InstantCheck]:
    """Register a check that returns its outcome in a few words."""
    return instant_checks.decorator(name, lambda check: check)


# --- digest sources ----------------------------------------------------------------------------


class DigestReason(StrEnum):
    NEW = auto()
    WORSE = auto()
    REGRESSED = auto()


@dataclass(frozen=True)
class DigestItem:
    """One item of a digest. `key` identifies the subject across digests."""

    key: str
    title: str
    reason: DigestReason
    count: int
    first_at: datetime
    last_at: datetime
    severity: Severity = Severity.HIGH
    sample: str = ""
    url: str = ""  # A path within the portal.
    # If this is set, the item may be listed a second time within a day.
    regressed_at: datetime | None = None


# The function takes since and until, and returns the items that were new, worsened or regressed in that period.
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
