"""How much may wait for the store, how long, and how those are told who do not wait themselves."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors.new_event import NewEvent
from errors.store import writer
from errors.store.commit import Outcome, Unavailable
from errors.store.write import Written
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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Writer:
    monkeypatch.setattr(writer, "PATIENCE", 0.1)
    monkeypatch.setattr(writer, "_GIVE_UP_EVERY", 0.05)
    return Writer()


@pytest.fixture
def told() -> "queue.Queue[Outcome | Exception]":
    return queue.Queue()


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


def test_who_does_not_wait_is_told_once_when_patience_has_run_out(
    readings: Readings, impatient: Writer, told: "queue.Queue[Outcome | Exception]"
) -> None:
    impatient.store_and_call(readings, 1, lambda _: None)  # keeps the next one waiting
    impatient.store_and_call(list, 1, told.put)
    late = told.get(timeout=10)
    readings.may_go_on.set()

    assert isinstance(late, Unavailable)
    assert impatient.store(list, 1).stored == 0  # after it, so the late one has been read by now
    assert told.empty()


def test_patience_runs_out_also_for_the_one_that_is_being_read(
    readings: Readings, impatient: Writer, told: "queue.Queue[Outcome | Exception]"
) -> None:
    impatient.store_and_call(readings, 1, told.put)

    assert isinstance(told.get(timeout=10), Unavailable)


def test_whatever_reading_ends_with_there_is_an_answer_and_the_next_is_read(
    caplog: pytest.LogCaptureFixture, told: "queue.Queue[Outcome | Exception]"
) -> None:
    class Panic(BaseException):
        """As extensions in Rust raise it."""

    def panic() -> list[NewEvent]:
        raise Panic("index out of bounds")

    some = Writer()

    some.store_and_call(panic, 1, told.put)

    assert isinstance(told.get(timeout=10), Unavailable)
    assert some.store(list, 1) == Written()
    assert "index out of bounds" in caplog.text


def test_one_that_fails_to_listen_keeps_nobody_else_from_being_told(
    caplog: pytest.LogCaptureFixture, told: "queue.Queue[Outcome | Exception]"
) -> None:

    def fail(_: Outcome | Exception) -> None:
        raise RuntimeError("not listening")

    some = Writer()
    some.store_and_call(list, 1, fail)
    some.store_and_call(list, 1, told.put)

    assert told.get(timeout=10) == Written()
    assert "not listening" in caplog.text
