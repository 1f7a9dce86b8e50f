"""Find the position in a series of numbers where its level changes. All functions are pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MIN_BEFORE = 5  # The minimum number of values before a step.
# The change at a step is at least this many standard deviations of the values before it.
NOISE = 3.0


@dataclass(frozen=True)
class Step:
    """A change of level: its position, and the means of the values before and after it."""

    position: int
    before: float
    after: float

    @property
    def factor(self) -> float:
        """Return the ratio of the level after the step to the level before it."""
        return self.after / self.before if self.before else float("inf")


def find_step(
    values: Sequence[float | None],
    *,
    min_factor: float = 2.0,
    min_change: float = 0.0,
    min_after: int = 1,
) -> Step | None:
    """Return the step that divides the values best, or None if there is no step.

    A step multiplies or divides the level by at least `min_factor`, changes it by at least `min_change`, and is larger
    than the noise before it. At least `min_after` values follow it. Among `values`, None stands for a missing value.
    """
    known = [(position, value) for position, value in enumerate(values) if value is not None]
    total = sum(value for _, value in known)
    best: tuple[float, int] | None = None
    sum_before = 0.0
    for count in range(1, len(known)):
        sum_before += known[count - 1][1]
        rest = len(known) - count
        difference = sum_before / count - (total - sum_before) / rest
        gain = count * rest * difference * difference
        if count >= MIN_BEFORE and (best is None or gain > best[0]):
            best = gain, count
    if best is None or len(known) - best[1] < min_after:
        return None
    count = best[1]
    before = [value for _, value in known[:count]]
    after = [value for _, value in known[count:]]
    found = Step(known[count][0], statistics.fmean(before), statistics.fmean(after))
    change = abs(found.after - found.before)
    is_large = found.factor >= min_factor or found.factor <= 1 / min_factor
    if not is_large or change < max(min_change, NOISE * statistics.pstdev(before)):
        return None
    return found
