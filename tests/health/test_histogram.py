"""Test the histograms of durations, and the percentiles that are estimated from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health import histogram

durations = st.lists(
    st.floats(min_value=0, max_value=200_000, allow_nan=False), min_size=1, max_size=200
)


def counts_of(values: list[float]) -> list[int]:
    counts = [0] * histogram.BUCKET_COUNT
    for value in values:
        counts[histogram.bucket_of(value)] += 1
    return counts


def test_upper_bounds_are_inclusive() -> None:
    assert histogram.BOUNDS_MS[histogram.bucket_of(3_000)] == 3_000
    assert histogram.BOUNDS_MS[histogram.bucket_of(3_000.1)] == 5_000
    assert histogram.bucket_of(1e9) == histogram.BUCKET_COUNT - 1


def test_an_empty_histogram_has_no_percentile() -> None:
    assert histogram.quantile([0] * histogram.BUCKET_COUNT, 0.5) is None


@pytest.mark.parametrize("threshold", [3_000, 5_000, 10_000])
def test_usual_thresholds_are_bucket_bounds(threshold: float) -> None:
    assert threshold in histogram.BOUNDS_MS


def test_the_bucket_bounds_never_change() -> None:
    """Test that the bucket bounds never change, because new bounds would change the meaning of stored counts."""
    assert list(histogram.BOUNDS_MS) == [
        *(1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75),
        *(100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500),
        *(10_000, 15_000, 30_000, 60_000),
    ]
    assert histogram.BUCKET_COUNT == 28


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        pytest.param([2.5] * 10 + [4] * 10, 0.25, 2.5, id="halfway through the first bucket"),
        pytest.param([2.5] * 10 + [4] * 10, 0.75, 4, id="halfway through the second bucket"),
        pytest.param([2.5] * 10 + [4] * 10, 1, 5, id="the end of the last bucket in use"),
        pytest.param([2.5] * 10 + [14] * 10, 0.5, 3, id="empty buckets between"),
        pytest.param([2.5] * 10, 0, 2, id="the start of the first bucket in use"),
        pytest.param([0.4] * 4, 0.5, 0.5, id="faster than the first bound"),
        pytest.param([4], 0.5, 4, id="a single call"),
        pytest.param([90_000] * 2, 0.5, 90_000, id="slower than the last bound"),
        pytest.param([90_000] * 2, 1, 120_000, id="the end of the open bucket"),
    ],
)
def test_a_percentile_is_interpolated_linearly_within_its_bucket(
    values: list[float], q: float, expected: float
) -> None:
    assert histogram.quantile(counts_of(values), q) == expected


def test_the_slowest_call_closes_the_open_bucket() -> None:
    counts = counts_of([70_000, 80_000])

    assert histogram.quantile(counts, 0.5, highest=80_000) == 70_000
    assert histogram.quantile(counts, 1, highest=80_000) == 80_000


def test_no_percentile_is_above_the_slowest_call() -> None:
    counts = counts_of([2.1, 2.2])

    assert histogram.quantile(counts, 0.05, highest=2.2) == 2.05
    assert histogram.quantile(counts, 0.95, highest=2.2) == 2.2


@given(durations)
def test_an_estimated_percentile_lies_in_the_bucket_of_the_true_one(values: list[float]) -> None:
    counts, highest = counts_of(values), max(values)
    ordered = sorted(values)

    for q in (0.5, 0.95, 0.99, 1.0):
        true = ordered[min(len(ordered) - 1, max(0, -int(-q * len(ordered) // 1) - 1))]
        bucket = histogram.bucket_of(true)
        low = histogram.BOUNDS_MS[bucket - 1] if bucket else 0
        found = histogram.quantile(counts, q, highest=highest)
        assert found is not None
        assert min(low, highest) <= found <= highest


@pytest.mark.slow
@given(durations)
def test_higher_percentiles_are_never_lower(values: list[float]) -> None:
    counts = counts_of(values)
    p50, p95, p99 = (
        histogram.quantile(counts, q, highest=max(values)) or 0 for q in (0.5, 0.95, 0.99)
    )
    assert p50 <= p95 <= p99
