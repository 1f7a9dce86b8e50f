"""Declare how long reservations are kept."""

from collections.abc import Iterator

from core.lib.retention import Kept, keeps


@keeps("reservations")
def kept() -> Iterator[Kept]:
    yield Kept(
        "Reservations and waiting lists",
        "no time limit",
        note="The customer is removed when the person is erased.",
    )
