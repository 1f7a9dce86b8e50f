"""How much may wait for the store."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors.new_event import NewEvent
from errors.store import writer
from errors.store.commit import Unavailable
from errors.store.writer import Writer


class Readings:
    """Requests without events, read once they may be."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self) -> list[NewEvent]:
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        return []


@pytest.fixture
def readings() -> Iterator[Readings]:
    readings = Readings()
    yield readings
    readings.may_go_on.set()


@pytest.mark.parametrize(("most", "most_bytes"), [(1, 1_000), (9, 10)])
def test_what_does_not_fit_is_refused_and_the_place_is_free_again_afterwards(
    readings: Readings, monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int
) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", most)
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", most_bytes)
    full = Writer()

    with ThreadPoolExecutor(2) as pool:
        being_read = pool.submit(full.store, readings, 10)
        assert readings.has_begun.wait(10)
        waiting = pool.submit(full.store, readings, 6)
        while not full._queue:
            pass
        with pytest.raises(Unavailable, match="too many events"):
            full.store(readings, 6)
        readings.may_go_on.set()

        assert (being_read.result().stored, waiting.result().stored) == (0, 0)
    assert full.store(readings, 6).stored == 0
