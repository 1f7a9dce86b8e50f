"""Latencies in fixed logarithmic buckets: small, addable, and good for any percentile. Pure."""

from bisect import bisect_left
from collections.abc import Sequence

# Upper bounds in ms. About seven a decade, and every threshold people set (3 s, 5 s, 10 s) is one of them.
BOUNDS: tuple[float, ...] = (
    *(1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75),
    *(100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500),
    *(10_000, 15_000, 30_000, 60_000),
)
SIZE = len(BOUNDS) + 1  # the last bucket holds whatever took longer


def bucket_of(duration_ms: float) -> int:
    """The bucket whose upper bound is the first that is not smaller."""
    return bisect_left(BOUNDS, duration_ms)


def quantile(counts: Sequence[int], q: float, *, highest: float | None = None) -> float | None:
    """The duration in ms that a share `q` of the calls did not exceed; None when there were none.

    Straight lines inside a bucket. `highest` is the largest seen value: no answer is above it, and it closes the last bucket.
    """
    total = sum(counts)
    if not total:
        return None
    rank = q * total
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS[bucket - 1] if bucket else 0.0
            high = BOUNDS[bucket] if bucket < len(BOUNDS) else (highest or 2 * BOUNDS[-1])
            value = low + (max(high, low) - low) * max(0.0, rank - seen) / count
            return min(value, highest) if highest is not None else value
        seen += count
    return highest if highest is not None else BOUNDS[-1]
