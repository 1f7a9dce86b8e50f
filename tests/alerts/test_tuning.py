"""Test that suggested thresholds open fewer alerts, but still open each alert that a person acknowledged."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.evaluation import Limits
from alerts.extension_points import Severity
from alerts.tuning import Known, Row, Suggestion, replay, suggest
from tests.alerts.conftest import MINUTE, NOON

LIMITS = Limits(threshold=5, severity=Severity.HIGH, reopen_window=timedelta(0))


def rows(values: Sequence[float | None], key: str = "a") -> list[Row]:
    return [(key, NOON + number * MINUTE, value, None) for number, value in enumerate(values)]


def peaks(*values: float) -> list[float | None]:
    """Return readings with one peak per value, far enough apart for each peak to open an alert of its own."""
    return [one for value in values for one in [value, *[0.0] * 5]]


def find(
    values: Sequence[float | None], limits: Limits = LIMITS, known: Sequence[Known] = ()
) -> Suggestion | None:
    readings = rows(values)
    present = replay(readings, limits)
    return suggest(lambda: readings, limits, present=present, acknowledged=known)


def at(number: int) -> Known:
    """Return the acknowledged alert of the peak with the index `number`."""
    start = NOON + 6 * number * MINUTE
    return Known("a", start, start + MINUTE)


def test_the_smallest_threshold_with_one_alert_a_week_is_suggested() -> None:
    found = find(peaks(6, 7, 6.2, 20, 7.4))

    assert found is not None
    assert found.threshold == 7.4
    assert [one.peak for one in found.replay.episodes] == [20]


def test_two_weeks_may_have_two_alerts() -> None:
    values = peaks(6, 7, 20, 30) + [0.0] * (14 * 1440)
    found = find(values)
    assert found is not None
    assert (found.threshold, found.replay.fired_count) == (7.0, 2)


def test_a_suggestion_keeps_acknowledged_alerts() -> None:
    found = find(peaks(6, 7, 6.2, 20, 9), known=[at(4)])
    assert found is not None
    assert [one.peak for one in found.replay.episodes] == [20, 9]


def test_there_is_no_suggestion_if_the_smallest_alert_was_acknowledged() -> None:
    assert find(peaks(6, 7, 8, 9), known=[at(0)]) is None


def test_there_is_no_suggestion_without_a_clear_gain() -> None:
    assert find(peaks(6, 20, 20, 20, 20, 20), known=[at(1)]) is None


def test_there_is_no_suggestion_without_alerts_or_readings() -> None:
    assert find([1, 2, None]) is None
    assert find([]) is None


@pytest.mark.parametrize(
    ("peak", "threshold"),
    [(12.31, 13), (0.0123, 0.013), (7, 7.0), (123456, 130000), (99.9, 100)],
)
def test_thresholds_are_round_numbers(peak: float, threshold: float) -> None:
    found = find(peaks(peak, peak, peak), replace(LIMITS, threshold=0.001))
    assert found is not None
    assert found.threshold == threshold


def test_a_suggestion_for_low_values_lowers_the_threshold() -> None:
    limits = replace(LIMITS, below=True, threshold=100)
    values = [one for low in (95, 90, 40, 88) for one in [low, *[500.0] * 5]]
    found = find(values, limits)
    assert found is not None
    assert found.threshold == 87  # With a threshold of 88, the value 88 would still be a breach.
    assert [one.peak for one in found.replay.episodes] == [40]


def test_a_suggestion_stays_below_the_critical_threshold() -> None:
    found = find(peaks(6, 7, 12, 13, 14), replace(LIMITS, critical_threshold=10))
    assert found is not None
    assert found.threshold == 7.0


def test_a_configured_clear_threshold_keeps_its_proportion() -> None:
    found = find(peaks(6, 7, 20), replace(LIMITS, clear_threshold=2.5))
    assert found is not None
    assert (found.threshold, found.limits.clear_threshold) == (7.0, 3.5)


def test_missing_values_that_count_as_breaches_do_not_break_a_suggestion() -> None:
    limits = replace(LIMITS, no_data="alert")  # type: ignore[arg-type]
    find([None, 6, None, float("nan"), 0, None, *peaks(8, 9)], limits)


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-100, 100)), max_size=60),
    threshold=st.floats(-50, 50),
    below=st.booleans(),
    needed=st.integers(1, 3),
    known=st.lists(st.integers(0, 59), max_size=3),
)
def test_a_suggestion_is_always_quieter_and_never_hides_an_acknowledged_alert(
    values: list[float | None],
    threshold: float,
    below: bool,
    needed: int,
    known: list[int],
) -> None:
    limits = replace(
        LIMITS, threshold=threshold, below=below, breaches_needed=needed, out_of=max(needed, 3)
    )
    seen = [Known("a", NOON + n * MINUTE, NOON + n * MINUTE) for n in known]
    present = replay(rows(values), limits)
    found = find(values, limits, seen)
    if found is None:
        return
    assert found.replay.fired_count < present.fired_count
    assert found.threshold < threshold if below else found.threshold > threshold
    for one in seen:
        is_open = any(e.started_at <= one.opened_at <= e.ended_at for e in present.episodes)
        if is_open:
            assert any(
                e.started_at - MINUTE <= one.opened_at <= e.ended_at + MINUTE
                for e in found.replay.episodes
            )
