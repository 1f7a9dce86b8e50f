"""Suggest a threshold for a noisy rule from its readings. All functions are pure.

The suggestion is the smallest change that leaves at most one alert a week or, if none does, the change that leaves the
fewest alerts. It never hides an alert that a person acknowledged or resolved.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerts.evaluation import (
    Action,
    Limits,
    PreviousState,
    Stage,
    Verdict,
    advance,
    decide,
    judge,
)

# The key, the time, the value and the number of samples of a reading.
Row = tuple[str, datetime, float | None, int | None]
WANTED_PER_WEEK = 1
MIN_GAIN = 0.25  # A suggestion must avoid at least this share of the alerts.
MAX_CANDIDATES = 12
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Episode:
    """An alert that the readings would have opened, with the worst value while it was active."""

    key: str
    started_at: datetime
    ended_at: datetime
    peak: float


@dataclass(frozen=True)
class Replay:
    """The result of applying limits to readings."""

    episodes: tuple[Episode, ...] = ()
    firing_minutes: int = 0
    reading_count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def fired_count(self) -> int:
        return len(self.episodes)

    @property
    def last_fired_at(self) -> datetime | None:
        return max((one.started_at for one in self.episodes), default=None)

    @property
    def weeks(self) -> float:
        """Return the number of weeks that the readings cover, but at least one."""
        if self.first_at is None or self.last_at is None:
            return 1.0
        return max(1.0, (self.last_at - self.first_at) / timedelta(weeks=1))


@dataclass(frozen=True)
class Known:
    """An alert that a person acknowledged or resolved.

    If the present limits open it, the suggested limits must open it as well.
    """

    key: str
    opened_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class Suggestion:
    threshold: float
    limits: Limits
    replay: Replay


def replay(readings: Iterable[Row], limits: Limits) -> Replay:
    """Apply the limits to readings, which must be ordered by key and time."""
    episodes: list[Episode] = []
    firing_minutes = reading_count = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    previous: PreviousState | None = None
    current_key: str | None = None
    for key, at, value, samples in readings:
        if key != current_key:
            current_key, previous = key, None
        reading_count += 1
        first_at = at if first_at is None or at < first_at else first_at
        last_at = at if last_at is None or at > last_at else last_at
        verdict = judge(value, samples, limits)
        if previous is None and verdict is not Verdict.BREACH:
            # Skip the decision for most readings, which are clear and have no previous state.
            continue
        decision = decide(verdict, value, previous, limits, at)
        previous = advance(previous, decision, at)
        if decision.action in (Action.OPEN, Action.REOPEN):
            episodes.append(Episode(key, at, at, _number(value, limits)))
        if previous is not None and previous.stage is Stage.ACTIVE:
            firing_minutes += 1
            episodes[-1] = _extend(episodes[-1], at, value, limits)
    return Replay(tuple(episodes), firing_minutes, reading_count, first_at, last_at)


def _number(value: float | None, limits: Limits) -> float:
    return limits.threshold if value is None or math.isnan(value) else value


def _extend(episode: Episode, at: datetime, value: float | None, limits: Limits) -> Episode:
    worse = min if limits.below else max
    return replace(episode, ended_at=at, peak=worse(episode.peak, _number(value, limits)))


def suggest(
    readings: Callable[[], Iterable[Row]],
    limits: Limits,
    *,
    present: Replay,
    acknowledged: Sequence[Known] = (),
) -> Suggestion | None:
    """Return a better threshold, or None if none avoids at least MIN_GAIN of the alerts.

    `present` is the replay with the current limits.
    """
    best: Suggestion | None = None
    wanted = WANTED_PER_WEEK * present.weeks
    for threshold in _list_candidates(present, limits):
        changed = with_threshold(limits, threshold)
        found = replay(readings(), changed)
        if _hides(found, present, acknowledged):
            break
        best = Suggestion(threshold, changed, found)
        if len(found.episodes) <= wanted:
            break
    if best is None or len(best.replay.episodes) > (1 - MIN_GAIN) * len(present.episodes):
        return None
    return best


def with_threshold(limits: Limits, threshold: float) -> Limits:
    """Return the limits with another threshold. A configured clear threshold keeps its ratio to the threshold.

    If the threshold is 0, the clear threshold is reset to its default.
    """
    clear = limits.clear_threshold
    if clear is not None:
        clear = threshold * clear / limits.threshold if limits.threshold else None
    return replace(limits, threshold=threshold, clear_threshold=clear)


def _list_candidates(present: Replay, limits: Limits) -> list[float]:
    """Return round thresholds, each of which prevents more of the present alerts than the one before."""
    peaks = sorted({one.peak for one in present.episodes}, reverse=limits.below)
    if len(peaks) > MAX_CANDIDATES:
        step = len(peaks) / MAX_CANDIDATES
        peaks = [peaks[int((number + 1) * step) - 1] for number in range(MAX_CANDIDATES)]
    found = []
    for peak in peaks:
        rounded = _round_beyond(peak, below=limits.below)
        critical = limits.critical_threshold
        is_past_critical = critical is not None and (
            rounded <= critical if limits.below else rounded >= critical
        )
        is_change = rounded < limits.threshold if limits.below else rounded > limits.threshold
        if is_change and not is_past_critical and rounded not in found:
            found.append(rounded)
    return found


def _round_beyond(peak: float, *, below: bool) -> float:
    """Return a threshold with two significant digits that the peak does not breach.

    12.3 becomes 13, or 12 if low values are bad.
    """
    if peak == 0:
        return -1.0 if below else 0.0
    size = 10.0 ** (math.floor(math.log10(abs(peak))) - 1)
    if not below:
        return float(f"{math.ceil(peak / size - 1e-9) * size:.10g}")
    rounded = float(f"{math.floor(peak / size + 1e-9) * size:.10g}")
    # A value equal to the threshold is a breach.
    return rounded if rounded < peak else float(f"{rounded - size:.10g}")


def _hides(found: Replay, present: Replay, acknowledged: Sequence[Known]) -> bool:
    """Return True if an acknowledged alert occurs in `present`, but not in `found`."""
    return any(
        _is_open_in(present, known) and not _is_open_in(found, known) for known in acknowledged
    )


def _is_open_in(replayed: Replay, known: Known) -> bool:
    return any(
        one.key == known.key
        and one.started_at <= known.ended_at + MINUTE
        and one.ended_at >= known.opened_at - MINUTE
        for one in replayed.episodes
    )
