"""Count durations in fixed logarithmic buckets, which can be added up and yield percentiles.

All functions are pure.
"""

from bisect import bisect_left
from collections.abc import Sequence

# Each decade up to 10 s has five or six bounds. They include the usual alert thresholds of 3 s, 5 s and 10 s.
BOUNDS_MS: tuple[float, ...] = (
    *(1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75),
    *(100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500),
    *(10_000, 15_000, 30_000, 60_000),
)
BUCKET_COUNT = len(BOUNDS_MS) + 1  # The last bucket contains all longer durations.


def bucket_of(duration_ms: float) -> int:
    """Return the index of the bucket for a duration in ms. A bucket includes its upper bound."""
    return bisect_left(BOUNDS_MS, duration_ms)


def quantile(counts: Sequence[int], q: float, *, highest: float | None = None) -> float | None:
    """Return the duration in ms that a share `q` of the calls did not exceed, or None if there were no calls.

    The value is interpolated linearly within a bucket. `highest` is the longest observed duration, which limits the
    result and is the upper bound of the last bucket.
    """
    total = sum(counts)
    if not total:
        return None
    rank = q * total
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS_MS[bucket - 1] if bucket else 0.0
            high = BOUNDS_MS[bucket] if bucket < len(BOUNDS_MS) else (highest or 2 * BOUNDS_MS[-1])
            value = low + (max(high, low) - low) * max(0.0, rank - seen) / count
            return min(value, highest) if highest is not None else value
        seen += count
    return highest if highest is not None else BOUNDS_MS[-1]
