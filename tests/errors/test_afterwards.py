"""What waits beside the store, for longer than its sender perhaps."""

import queue
import threading

import pytest

from errors.store.commit import Unavailable
from errors.store.write import Written
from errors.views.ingest import afterwards
from errors.views.ingest.afterwards import Afterwards

Told = queue.Queue[Written | Exception]


def test_more_than_may_wait_is_told_to_come_again_and_there_is_room_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(afterwards, "MOST_WAITING_BYTES", 10)
    some, may_go_on = Afterwards(), threading.Event()
    told, first, again = Told(), Told(), Told()

    def slowly(outcome: Written | Exception) -> None:
        assert may_go_on.wait(10)
        first.put(outcome)

    some.finish(slowly, Written(), 8)
    some.finish(told.put, Written(), 3)

    assert isinstance(told.get_nowait(), Unavailable)
    may_go_on.set()
    assert first.get(timeout=10) == Written()
    while isinstance(outcome := tell(some, again), Unavailable):
        pass  # the place is free in an instant
    assert outcome == Written()


def tell(some: Afterwards, told: Told) -> Written | Exception:
    some.finish(told.put, Written(), 3)
    return told.get(timeout=10)


def test_a_request_that_cannot_be_answered_is_in_the_log_and_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(afterwards, "MOST_WAITING_BYTES", 10)
    some, told = Afterwards(), Told()

    def fail(_: Written | Exception) -> None:
        raise RuntimeError("not listening")

    some.finish(fail, Written(), 8)
    while isinstance(outcome := tell(some, told), Unavailable):
        pass

    assert outcome == Written()
    assert "not listening" in caplog.text


def test_while_the_process_ends_nobody_is_left_without_an_answer() -> None:
    some, told = Afterwards(), Told()
    some._pool.shutdown()

    some.finish(told.put, Written(), 1)

    assert isinstance(told.get_nowait(), Unavailable)
