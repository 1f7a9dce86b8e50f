"""List how long each kind of data is kept. Apps declare their data in `hooks/retention_periods.py`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from core.lib.formats import span
from core.lib.registry import Registry


@dataclass(frozen=True)
class Kept:
    """A kind of data and its retention period."""

    data: str
    # A string instead of a duration names the event that ends the period, such as "until deleted".
    period: timedelta | str
    # The place where the period can be changed, such as the name of a setting, or "" if it is fixed.
    changed_by: str = ""
    note: str = ""

    @property
    def period_text(self) -> str:
        return self.period if isinstance(self.period, str) else span(self.period)


ListKept = Callable[[], Iterable[Kept]]

retention_periods: Registry[ListKept] = Registry("retention_periods")


def keeps(name: str) -> Callable[[ListKept], ListKept]:
    """Register a function that returns the kinds of data that an app keeps, with their retention periods."""
    return retention_periods.decorator(name, lambda function: function)
