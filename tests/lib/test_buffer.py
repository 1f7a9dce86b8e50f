"""Test that values collected in memory are written together, and that values lost to a failure are counted."""

import os
from collections.abc import Callable

import pytest
from django.db import IntegrityError, OperationalError

from core.lib import background
from core.lib.buffer import Buffer, OnFailure

Written = list[dict[str, int]]


class Store:
    """A store that records the written values, or raises `failure` if it is set."""

    def __init__(self) -> None:
        self.written: Written = []
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def write(self, values: dict[str, int]) -> None:
        self.meanwhile()
        if self.failure:
            raise self.failure
        self.written.append(values)


@pytest.fixture
def store() -> Store:
    return Store()


def make(store: Store, **options: object) -> Buffer[str, int]:
    given = {"max_keys": 3, "on_failure": OnFailure.DROP, **options}
    return Buffer(
        "test",
        seconds=60,
        write=store.write,
        merge=lambda known, new: known + new,
        count_of=lambda value: value,
        **given,  # type: ignore[arg-type]
    )


@pytest.fixture(autouse=True)
def no_chore_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_chores", {})
    monkeypatch.setattr(background, "_last_chores", {})


def test_values_of_one_key_are_merged_and_written_once(store: Store) -> None:
    buffer = make(store)
    buffer.add("a", 1)
    buffer.add("b", 5)
    buffer.add("a", 2)

    assert buffer.flush() == 8
    assert buffer.flush() == 0
    assert store.written == [{"a": 3, "b": 5}]


def test_a_full_buffer_refuses_new_keys_and_counts_them(store: Store) -> None:
    buffer = make(store, max_keys=1)

    assert buffer.add("a", 1)
    assert not buffer.add("b", 4)
    assert buffer.add("a", 1)
    assert (buffer.flush(), buffer.dropped_count) == (2, 4)
    assert buffer.add("b", 4)


def test_a_buffer_refuses_more_values_than_its_limit(store: Store) -> None:
    buffer = make(store, max_count=3)

    assert [buffer.add("a", 2), buffer.add("a", 2), buffer.add("a", 1)] == [True, False, True]
    assert (buffer.flush(), buffer.dropped_count) == (3, 2)


def test_values_beyond_the_limit_are_added_to_the_overflow_key(store: Store) -> None:
    buffer = make(store, max_keys=1, overflow_key=lambda _: "others")
    for key in ("a", "b", "c", "a"):
        assert buffer.add(key, 1)

    buffer.flush()
    assert store.written == [{"a": 2, "others": 2}]
    assert buffer.dropped_count == 0


@pytest.mark.parametrize("error", [OperationalError("unavailable"), IntegrityError("no such app")])
def test_drop_counts_the_values_that_could_not_be_written(store: Store, error: Exception) -> None:
    buffer = make(store, on_failure=OnFailure.DROP)
    buffer.add("a", 3)
    store.failure = error

    with pytest.raises(type(error)):
        buffer.flush()
    store.failure = None
    assert (buffer.flush(), buffer.dropped_count) == (0, 3)


def test_retry_keeps_the_values_while_the_database_is_unavailable(store: Store) -> None:
    buffer = make(store, on_failure=OnFailure.RETRY)
    buffer.add("a", 3)
    store.failure = OperationalError("unavailable")
    store.meanwhile = lambda: (buffer.add("a", 1), buffer.add("b", 1))

    with pytest.raises(OperationalError):
        buffer.flush()
    store.failure, store.meanwhile = None, lambda: None
    assert (buffer.flush(), buffer.dropped_count) == (5, 0)
    assert store.written == [{"a": 4, "b": 1}]


def test_retry_drops_what_the_database_rejects(store: Store) -> None:
    buffer = make(store, on_failure=OnFailure.RETRY)
    buffer.add("a", 3)
    store.failure = IntegrityError("the app was deleted")

    with pytest.raises(IntegrityError):
        buffer.flush()
    store.failure = None
    buffer.add("b", 1)
    assert (buffer.flush(), buffer.dropped_count) == (1, 3)


def test_the_background_thread_is_woken_once_when_enough_values_are_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    buffer = make(store, flush_at=4)
    monkeypatch.setattr(background, "run_soon", lambda: woken.append(len(buffer)))

    for key, value in (("a", 3), ("b", 1), ("c", 3)):
        buffer.add(key, value)
    assert woken == [2]


def test_a_forked_child_does_not_write_what_its_parent_writes(store: Store) -> None:
    buffer = make(store)
    buffer.add("a", 1)
    with buffer._lock:  # Simulate another thread that holds the lock at the time of the fork.
        pid = os.fork()
        if pid == 0:
            is_empty = not buffer and buffer._lock.acquire(timeout=10)
            os._exit(0 if is_empty else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert buffer.flush() == 1


def test_values_are_written_when_the_process_exits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store).add("a", 1)
    background.run_last_chores()
    assert store.written == []  # The parent, which runs no chores in tests, has written nothing.

    buffer = make(store)
    buffer.add("a", 1)
    monkeypatch.setattr(background, "_started_in", os.getpid())
    background.run_last_chores()
    assert store.written == [{"a": 1}]


def test_an_unavailable_database_is_tried_once_at_exit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(background, "_started_in", os.getpid())

    def fails() -> None:
        calls.append("first")
        raise OperationalError("unavailable")

    background.chore("first", seconds=60, at_exit=True)(fails)
    background.chore("second", seconds=60, at_exit=True)(lambda: calls.append("second"))
    background.run_last_chores()
    assert calls == ["first"]
