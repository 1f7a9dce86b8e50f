"""Test that steps in series are found at the right place, and that noise, trends and single peaks are not steps."""

import random

import pytest

from core.lib.steps import find_step


def noisy(level: float, count: int, seed: int = 1) -> list[float]:
    drawn = random.Random(seed)
    return [level * drawn.uniform(0.8, 1.2) for _ in range(count)]


def test_a_step_is_found_where_the_level_changes() -> None:
    step = find_step([*noisy(100, 30), *noisy(500, 6, seed=2)])

    assert step is not None
    assert step.position == 30
    assert 4 < step.factor < 6


def test_a_step_down_is_found_as_well() -> None:
    step = find_step([*noisy(100, 30), 0.0, 0.0, 0.0])

    assert step is not None
    assert (step.position, step.after, step.factor) == (30, 0, 0)


def test_times_without_a_value_are_skipped() -> None:
    step = find_step([10, None, 10, 10, None, 11, 10, 9, None, 40, None, 41])

    assert step is not None
    assert step.position == 9


def test_the_factor_of_a_step_from_zero_is_infinite() -> None:
    step = find_step([0.0] * 10 + [0.4] * 3, min_change=0.2)

    assert step is not None
    assert step.factor == float("inf")


@pytest.mark.parametrize(
    "values",
    [
        [],
        [5.0],
        [1, 9],
        [None] * 20,
        [7.0] * 40,
        noisy(100, 60),
        [100, 100, 100, 100, 150, 150, 150],  # The level does not double.
        [1, 1, 1, 50, 50, 50],  # There are too few values before the step.
        # The change is within the noise.
        [50 + 45 * (-1) ** place for place in range(40)] + [160, 150],
    ],
    ids=["none", "one", "two", "gaps", "flat", "noise", "small", "short", "wild"],
)
def test_trends_noise_and_short_series_are_not_steps(values: list[float | None]) -> None:
    assert find_step(values) is None


def test_a_single_value_is_not_a_step_if_two_are_needed() -> None:
    values = [*noisy(100, 30), 500.0]

    assert find_step(values) is not None
    assert find_step(values, min_after=2) is None


def test_a_change_below_the_given_size_is_not_a_step() -> None:
    values = [1.0] * 20 + [3.0] * 5

    assert find_step(values) is not None
    assert find_step(values, min_change=50) is None
