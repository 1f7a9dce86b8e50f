"""Rank the changes before a problem by the likelihood that they caused it. The functions use no database.

The score of a change is the product of a weight for its kind and of factors for its distance in time, its relation to
the problem and the size of its step. docs/impact.md lists the figures. Each cause states the reasons for its score.
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


# The likelihood that a change of this kind is the cause, relative to a deploy. New errors and more traffic are often
# only consequences of the same cause.
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
# A cause may be noticed up to this long after its effect. For example, a deploy is reported when it has finished, and
# an outage is reported after two failed checks.
NOTICED_AFTER = {
    CauseKind.DEPLOY: timedelta(minutes=10),
    CauseKind.RELEASE: timedelta(minutes=2),
    CauseKind.OUTAGE: timedelta(minutes=5),
    CauseKind.DEPENDENCY: timedelta(minutes=5),
    CauseKind.TRAFFIC: timedelta(minutes=2),
}
LOOKBACK = timedelta(hours=24)
LOOKAHEAD = max(NOTICED_AFTER.values())
# At this distance in time from the problem, the score of a change is halved.
HALF_AT = timedelta(minutes=20)

# This factor applies if the change concerns the subject of the problem, such as its rule or its monitor.
IS_SUBJECT = 4.0
IS_NAMED = 2.5  # This factor applies if the text of the problem names the changed object.
# SAME_APP or OTHER_APP applies if the apps of the change and of the problem are known. Otherwise, ANY_APP applies.
SAME_APP, OTHER_APP, ANY_APP = 1.5, 0.15, 0.8
# Every new error is first seen in the running release, so the same release is weak evidence. A different release is
# stronger evidence.
SAME_RELEASE, OTHER_RELEASE = 1.2, 0.4
SAME_ENVIRONMENT, OTHER_ENVIRONMENT = 1.3, 0.2
# This factor applies if the change was noticed after the problem, which makes the change a less likely cause.
AFTERWARDS = 0.5
AT_ONCE = timedelta(seconds=30)
IS_OVER = 0.3  # This factor applies if the outage had ended before the problem began.
MIN_SCORE = 0.05
MIN_NAME_LENGTH = 4  # Shorter names are ignored, because they occur in texts by chance.


@dataclass(frozen=True)
class Onset:
    """The known facts about the beginning of a problem: when and where it began, and what it is about."""

    at: datetime
    uncertainty: timedelta = timedelta(0)  # The problem may have begun up to this long before `at`.
    app_ids: frozenset[int] = frozenset()  # Empty if the apps are unknown.
    # Empty if the environments are unknown.
    environments: frozenset[str] = frozenset()
    # Releases in which the problem was first seen; empty if they are unknown.
    releases: frozenset[str] = frozenset()
    # The objects that the problem is about, such as "alerts.alertrule 12" or "component stripe".
    subjects: frozenset[str] = frozenset()
    # A change with one of these identities of the problem, such as "component stripe", is not a possible cause.
    own: frozenset[str] = frozenset()
    # The title, message and function of the problem, which are searched for names of changed objects.
    text: str = ""

    @property
    def since(self) -> datetime:
        """Return the earliest time of a change that may be the cause."""
        return self.at - LOOKBACK

    @property
    def until(self) -> datetime:
        """Return the latest time when a cause may be noticed."""
        return self.at + LOOKAHEAD


@dataclass(frozen=True)
class Change:
    """A change that may be the cause of a problem."""

    kind: CauseKind
    label: str  # For example "Deploy of shop 2.4 to production".
    at: datetime  # The time when the change happened or began.
    # The end of the change, or None if the change has no duration or still lasts.
    until: datetime | None = None
    url: str = ""
    app_id: int | None = None  # None if the change concerns all apps.
    environment: str = ""  # Empty if the change concerns all environments.
    release: str = ""
    # A problem with this identity, such as "component stripe", is the change itself, not a consequence of it.
    identity: str = ""
    subjects: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()  # Names to look for in the text of a problem.
    # The ratio of the new to the old level, or 0 if no level changed in a step.
    factor: float = 0.0


@dataclass(frozen=True)
class Cause:
    """A change with its score and the reasons for it."""

    change: Change
    score: float
    # The time from the change to the problem. It is negative if the change was noticed afterwards.
    distance: timedelta
    reasons: tuple[str, ...]

    @property
    def distance_text(self) -> str:
        """Return the distance in words, such as "3 min before"."""
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
        """Return a sentence such as "Deploy of shop 2.4 to production, 3 min before"."""
        return f"{self.change.label}, {self.distance_text}"


def rank(changes: Iterable[Change], onset: Onset) -> list[Cause]:
    """Return the changes that may have caused the problem, most likely cause first."""
    found = [cause for change in changes if (cause := weigh(change, onset)) is not None]
    return sorted(found, key=lambda one: (-one.score, one.distance, one.change.label))


def weigh(change: Change, onset: Onset) -> Cause | None:
    """Return the change as a cause, or None if the change cannot be the cause or is too unlikely."""
    distance = onset.at - change.at
    noticed_after = NOTICED_AFTER.get(change.kind, timedelta(0))
    if not -noticed_after <= distance <= LOOKBACK or (
        change.identity and change.identity in onset.own
    ):
        return None
    # A rule may notice a problem long after its beginning, for example if it measures the last hour. Differences in
    # distance within this uncertainty are less significant.
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
        return IS_SUBJECT, "the subject of the problem"
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
    """Return the factor for the size of a step, such as 0.7 if the level doubled or halved; it is at most 1.5."""
    if change.factor <= 0:
        return 1.0, ""
    times = max(change.factor, 1 / change.factor)
    return min(1.5, 0.3 + 0.4 * math.log2(times)), ""


def _end(change: Change, onset: Onset) -> tuple[float, str]:
    if change.until is None or change.until >= onset.at - onset.uncertainty:
        return 1.0, ""
    return IS_OVER, "ended before the problem began"
