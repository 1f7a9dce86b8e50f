"""Test that a background thread processes requests from many threads in batches."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.lib.batching_thread import BatchingThread, Failed, PendingRequest, TimedOut

Batch = list[PendingRequest[int, int]]


class Doubler:
    """A handler that doubles numbers once `may_proceed` is set. It rejects 13, crashes at 0, and ignores -1."""

    def __init__(self) -> None:
        self.may_proceed = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.has_begun.set()
        assert self.may_proceed.wait(10)
        for pending in batch:
            if pending.request == 0:
                raise RuntimeError("crashed")
            if pending.request == 13:
                pending.answer(ValueError(13))
            elif pending.request > 0:
                pending.answer(2 * pending.request)


@pytest.fixture
def doubler() -> Iterator[Doubler]:
    doubler = Doubler()
    yield doubler
    doubler.may_proceed.set()


def test_each_thread_gets_its_own_result_or_exception(doubler: Doubler) -> None:
    thread = BatchingThread("doubler", doubler, max_batch=4, timeout_seconds=10)
    doubler.may_proceed.set()

    with ThreadPoolExecutor(10) as pool:
        submitted = {number: pool.submit(thread.submit, number) for number in range(10, 20)}

    assert isinstance(submitted.pop(13).exception(), ValueError)
    assert all(future.result() == 2 * number for number, future in submitted.items())


def test_a_thread_that_waits_too_long_gets_an_exception(doubler: Doubler) -> None:
    thread = BatchingThread("doubler", doubler, max_batch=1, timeout_seconds=0.05)

    with pytest.raises(TimedOut):
        thread.submit(1)


@pytest.mark.parametrize("submitted", [0, -1])
def test_a_failed_batch_answers_its_requests_and_the_next_batch_is_performed(
    doubler: Doubler, submitted: int
) -> None:
    thread = BatchingThread("doubler", doubler, max_batch=1, timeout_seconds=10)
    doubler.may_proceed.set()

    with pytest.raises(Failed):
        thread.submit(submitted)

    assert thread.submit(21) == 42
