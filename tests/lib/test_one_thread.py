import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.lib.one_thread import Failed, Late, OneThread, Waiting

Batch = list[Waiting[int, int]]


class Doubler:
    """Doubles numbers once it may go on; refuses 13, breaks down at 0, forgets -1."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(60)
        for waiting in batch:
            if waiting.asked == 0:
                raise RuntimeError("broken down")
            if waiting.asked == 13:
                waiting.answer(ValueError(13))
            elif waiting.asked > 0:
                waiting.answer(2 * waiting.asked)


@pytest.fixture
def doubler() -> Iterator[Doubler]:
    doubler = Doubler()
    yield doubler
    doubler.may_go_on.set()


def test_everybody_gets_their_own_answer_or_exception(doubler: Doubler) -> None:
    thread = OneThread("doubler", doubler, at_once=4, patience=10)
    doubler.may_go_on.set()

    with ThreadPoolExecutor(10) as pool:
        asked = {number: pool.submit(thread.ask, number) for number in range(10, 20)}

    assert isinstance(asked.pop(13).exception(), ValueError)
    assert all(future.result() == 2 * number for number, future in asked.items())


def test_who_has_waited_long_enough_is_told_so(doubler: Doubler) -> None:
    thread = OneThread("doubler", doubler, at_once=1, patience=0.05)

    with pytest.raises(Late):
        thread.ask(1)


@pytest.mark.parametrize("asked", [0, -1])
def test_nobody_waits_in_vain_when_the_work_fails_and_the_next_is_served(
    doubler: Doubler, asked: int
) -> None:
    thread = OneThread("doubler", doubler, at_once=1, patience=10)
    doubler.may_go_on.set()

    with pytest.raises(Failed):
        thread.ask(asked)

    assert thread.ask(21) == 42
