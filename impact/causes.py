"""The ranking of what changed before a problem. Needs no database.

A change scores the weight of its kind, times how it relates to the problem, times the size of its step, divided by its
distance in time. docs/impact.md explains the figures; each cause carries its reasons.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models

from core.lib import formats


class CauseKind(models.TextChoices):
    DEPLOY = "deploy", "Deploy"
    RELEASE = "release", "New release"
    SETTING = "setting", "Setting"
    OUTAGE = "outage", "Outage"
    MAINTENANCE = "maintenance", "Maintenance"
    DEPENDENCY = "dependency", "Dependency"
    TRAFFIC = "traffic", "Traffic"
    ERROR = "error", "Error"


# How often a change of this kind is what people find in the end, relative to a deploy. A new error or more traffic is
# often a consequence of the same cause.
WEIGHTS = {
    CauseKind.DEPLOY: 1.0,
    CauseKind.RELEASE: 0.9,
    CauseKind.OUTAGE: 0.9,
    CauseKind.MAINTENANCE: 0.9,
    CauseKind.DEPENDENCY: 0.8,
    CauseKind.SETTING: 0.8,
    CauseKind.TRAFFIC: 0.4,
    CauseKind.ERROR: 0.25,
}
# A cause may be noticed after its effect: a deploy is reported when it has finished, an outage after two failed checks.
NOTICED_AFTER = {
    CauseKind.DEPLOY: timedelta(minutes=10),
    CauseKind.RELEASE: timedelta(minutes=2),
    CauseKind.OUTAGE: timedelta(minutes=5),
    CauseKind.DEPENDENCY: timedelta(minutes=5),
    CauseKind.TRAFFIC: timedelta(minutes=2),
}
LOOKBACK = timedelta(hours=24)
LOOKAHEAD = max(NOTICED_AFTER.values())
HALF_AT = timedelta(minutes=20)  # a change this long before counts half

IS_SUBJECT = 4.0  # what changed is what the problem is about, or depends on: its rule, its monitor
IS_NAMED = 2.5  # the problem's text names what changed
SAME_APP, OTHER_APP, ANY_APP = 1.5, 0.15, 0.8  # ANY_APP: the app of one of the two is not known
# Every new error is first seen in the release that runs, so this says little. Another release says more.
SAME_RELEASE, OTHER_RELEASE = 1.2, 0.4
SAME_ENVIRONMENT, OTHER_ENVIRONMENT = 1.3, 0.2
AFTERWARDS = 0.5  # noticed after the problem, which makes it less likely
AT_ONCE = timedelta(seconds=30)
IS_OVER = 0.3  # an outage that had ended before the problem began
MIN_SCORE = 0.05
MIN_NAME_LENGTH = 4  # shorter names occur in texts by chance


@dataclass(frozen=True)
class Onset:
    """When and where a problem began, and what it is about, as far as it is known."""

    at: datetime
    uncertainty: timedelta = timedelta(0)  # it may have begun this much earlier
    app_ids: frozenset[int] = frozenset()  # empty: not known
    environments: frozenset[str] = frozenset()  # empty: not known
    releases: frozenset[str] = frozenset()  # in which it was first seen; empty: not known
    subjects: frozenset[str] = frozenset()  # such as "alerts.alertrule 12", "component stripe"
    own: frozenset[str] = frozenset()  # identities that are the problem itself: "component stripe"
    text: str = ""  # its title, message and function, to find names in

    @property
    def since(self) -> datetime:
        """Return the time from which changes may be the cause."""
        return self.at - LOOKBACK

    @property
    def until(self) -> datetime:
        """Return the time until which a cause may be noticed."""
        return self.at + LOOKAHEAD


@dataclass(frozen=True)
class Change:
    """Something that changed, which may be the cause of a problem."""

    kind: CauseKind
    label: str  # such as "Deploy of shop 2.4 to production"
    at: datetime  # when it happened, or began
    until: datetime | None = None  # when it ended; None if it is a moment or goes on
    url: str = ""
    app_id: int | None = None  # None: it concerns all apps
    environment: str = ""  # "": all
    release: str = ""
    identity: str = ""  # not a cause of the problem that is this itself: "component stripe"
    subjects: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()  # by which a problem's text may name it
    factor: float = 0.0  # of a step: 3 is three times as much, 0.5 half; 0 if it is no step


@dataclass(frozen=True)
class Cause:
    """A change with its score and the reasons for it."""

    change: Change
    score: float
    distance: timedelta  # before the problem; negative if it was noticed afterwards
    reasons: tuple[str, ...]

    @property
    def distance_text(self) -> str:
        """Return the distance, such as "3 min before"."""
        size = abs(self.distance)
        if size < AT_ONCE:
            return "at the same time"
        rounded = timedelta(minutes=max(1, round(size / timedelta(minutes=1))))
        return f"{formats.span(rounded)} {'before' if self.distance > timedelta(0) else 'after'}"

    @property
    def at_text(self) -> str:
        return formats.stamp(self.change.at)

    @property
    def sentence(self) -> str:
        """Return for example "Deploy of shop 2.4 to production, 3 min before"."""
        return f"{self.change.label}, {self.distance_text}"


def rank(changes: Iterable[Change], onset: Onset) -> list[Cause]:
    """Return the changes that may have caused the problem, the most likely one first."""
    found = [cause for change in changes if (cause := weigh(change, onset)) is not None]
    return sorted(found, key=lambda one: (-one.score, one.distance, one.change.label))


def weigh(change: Change, onset: Onset) -> Cause | None:
    """Return the change as a cause, or None if it cannot be one or is too unlikely."""
    distance = onset.at - change.at
    noticed_after = NOTICED_AFTER.get(change.kind, timedelta(0))
    if not -noticed_after <= distance <= LOOKBACK or (
        change.identity and change.identity in onset.own
    ):
        return None
    # A rule looks at its last hour, say: within it, the distance says less.
    half_at = HALF_AT + onset.uncertainty / 2
    score = WEIGHTS[change.kind] / (1 + abs(distance) / half_at)
    if distance < -AT_ONCE:
        score *= AFTERWARDS
    reasons: list[str] = []
    for factor, reason in (
        _relation(change, onset),
        _app(change, onset),
        _environment(change, onset),
        _release(change, onset),
        _size(change),
        _end(change, onset),
    ):
        score *= factor
        if reason:
            reasons.append(reason)
    if score < MIN_SCORE:
        return None
    return Cause(change, score, distance, tuple(reasons))


def _relation(change: Change, onset: Onset) -> tuple[float, str]:
    if change.subjects & onset.subjects:
        return IS_SUBJECT, "the problem concerns it"
    text = onset.text.lower()
    names = (name.lower() for name in change.names)
    if any(len(name) >= MIN_NAME_LENGTH and name in text for name in names):
        return IS_NAMED, "named in the problem"
    return 1.0, ""


def _app(change: Change, onset: Onset) -> tuple[float, str]:
    if change.app_id is None or not onset.app_ids:
        return ANY_APP, ""
    if change.app_id in onset.app_ids:
        return SAME_APP, "same app"
    return OTHER_APP, "another app"


def _environment(change: Change, onset: Onset) -> tuple[float, str]:
    if not change.environment or not onset.environments:
        return 1.0, ""
    if change.environment in onset.environments:
        return SAME_ENVIRONMENT, "same environment"
    return OTHER_ENVIRONMENT, "another environment"


def _release(change: Change, onset: Onset) -> tuple[float, str]:
    if not change.release or not onset.releases or change.app_id not in onset.app_ids:
        return 1.0, ""
    if change.release in onset.releases:
        return SAME_RELEASE, "first seen in this release"
    return OTHER_RELEASE, "first seen in another release"


def _size(change: Change) -> tuple[float, str]:
    """Weigh a step by how large it is: doubling counts 0.7, and eight times or more 1.5."""
    if change.factor <= 0:
        return 1.0, ""
    times = max(change.factor, 1 / change.factor)
    return min(1.5, 0.3 + 0.4 * math.log2(times)), ""


def _end(change: Change, onset: Onset) -> tuple[float, str]:
    if change.until is None or change.until >= onset.at - onset.uncertainty:
        return 1.0, ""
    return IS_OVER, "it had ended before"
