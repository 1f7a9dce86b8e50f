"""Register the retention periods of links, orders and win-back lists."""

from collections.abc import Iterator

from core.lib.retention import Kept, keeps
from impact.services.links import REMEMBERED_FOR


@keeps("impact")
def kept() -> Iterator[Kept]:
    yield Kept("Links between errors and later orders of a person", REMEMBERED_FOR)
    yield Kept("Orders", "no time limit", note="The customer is removed when the person is erased.")
    yield Kept("Lists of buyers to win back", "until the person is erased")
