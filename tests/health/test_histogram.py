import pytest
from hypothesis import given
from hypothesis import strategies as st

from health import histogram

durations = st.lists(
    st.floats(min_value=0, max_value=200_000, allow_nan=False), min_size=1, max_size=200
)


def counts_of(values: list[float]) -> list[int]:
    counts = [0] * histogram.SIZE
    for value in values:
        counts[histogram.bucket_of(value)] += 1
    return counts


def test_a_duration_on_a_bound_belongs_to_the_bucket_that_ends_there() -> None:
    assert histogram.BOUNDS[histogram.bucket_of(3_000)] == 3_000
    assert histogram.BOUNDS[histogram.bucket_of(3_000.1)] == 5_000
    assert histogram.bucket_of(1e9) == histogram.SIZE - 1


def test_nothing_measured_has_no_percentile() -> None:
    assert histogram.quantile([0] * histogram.SIZE, 0.5) is None


@pytest.mark.parametrize("threshold", [3_000, 5_000, 10_000])
def test_every_threshold_people_set_is_a_bound(threshold: float) -> None:
    assert threshold in histogram.BOUNDS


@given(durations)
def test_a_percentile_is_in_the_bucket_of_the_true_one(values: list[float]) -> None:
    counts, highest = counts_of(values), max(values)
    ordered = sorted(values)

    for q in (0.5, 0.95, 0.99, 1.0):
        true = ordered[min(len(ordered) - 1, max(0, -int(-q * len(ordered) // 1) - 1))]
        bucket = histogram.bucket_of(true)
        low = histogram.BOUNDS[bucket - 1] if bucket else 0
        found = histogram.quantile(counts, q, highest=highest)
        assert found is not None
        assert min(low, highest) <= found <= highest


@pytest.mark.slow
@given(durations)
def test_percentiles_never_cross(values: list[float]) -> None:
    counts = counts_of(values)
    p50, p95, p99 = (
        histogram.quantile(counts, q, highest=max(values)) or 0 for q in (0.5, 0.95, 0.99)
    )
    assert p50 <= p95 <= p99
