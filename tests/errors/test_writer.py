"""Test the writer's batches, limits and timeouts in the event loop, and that it answers every request."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from errors.event.new_event import NewEvent
from errors.exceptions import Unavailable
from errors.store import writer as module
from errors.store.commit import Events, Outcome
from errors.store.write import BatchResult
from errors.store.writer import Writer
from tests.errors.stored import NOON


class SlowStore:
    """A store that records the size of each batch, and waits until `may_commit` is set before it commits."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_commit = asyncio.Event()

    async def commit(self, requests: Sequence[Events]) -> list[Outcome]:
        self.batches.append(len(requests))
        await self.may_commit.wait()
        return [BatchResult(stored=len(events)) for events in requests]


def run(test: Callable[[Writer, SlowStore], Coroutine[Any, Any, None]]) -> None:
    async def with_store() -> None:
        writer, store = Writer(), SlowStore()
        # Replace the store after the first call, which binds the writer to the event loop.
        assert await writer.store(list, 0) == BatchResult()
        writer._client = store  # type: ignore[assignment]
        await test(writer, store)

    asyncio.run(with_store())


def one_event() -> list[NewEvent]:
    return [
        NewEvent(
            app_id=1,
            event_id=uuid.uuid4().hex,
            received_at=NOON,
            occurred_at=NOON,
            group_hash="0" * 32,
            title="PaymentDeclined",
            payload=b"{}",
        )
    ]


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def test_requests_that_arrive_during_a_commit_share_the_next_one() -> None:
    async def test(writer: Writer, store: SlowStore) -> None:
        first = asyncio.create_task(writer.store(one_event, 1))
        await settle()
        others = [asyncio.create_task(writer.store(one_event, 1)) for _ in range(40)]
        await settle()

        assert store.batches == [1]
        assert not any(task.done() for task in (first, *others))

        store.may_commit.set()
        outcomes = await asyncio.gather(first, *others)

        assert store.batches == [1, 40]
        assert [outcome.stored for outcome in outcomes] == [1] * 41

    run(test)


def test_a_batch_has_a_maximum_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 16)

    async def test(writer: Writer, store: SlowStore) -> None:
        tasks = [asyncio.create_task(writer.store(one_event, 1)) for _ in range(50)]
        store.may_commit.set()
        await asyncio.gather(*tasks)

        assert max(store.batches) == 16
        assert sum(store.batches) == 50

    run(test)


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1_000), (9, 20)])
def test_a_request_over_the_limit_is_refused_until_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", most)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", most_bytes)

    async def test(writer: Writer, store: SlowStore) -> None:
        waiting = [asyncio.create_task(writer.store(one_event, 10)) for _ in range(2)]
        await settle()

        with pytest.raises(Unavailable, match="too many events"):
            await writer.store(one_event, 1)

        store.may_commit.set()
        await asyncio.gather(*waiting)
        assert (await writer.store(one_event, 10)).stored == 1

    run(test)


def test_a_client_gets_a_response_when_the_store_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)

    async def test(writer: Writer, store: SlowStore) -> None:
        being_committed = asyncio.create_task(writer.store(one_event, 1))
        await settle()
        waiting = asyncio.create_task(writer.store(one_event, 1))

        for task in (being_committed, waiting):
            with pytest.raises(Unavailable, match="did not answer in time"):
                await task

        store.may_commit.set()
        await settle()
        assert (await writer.store(one_event, 1)).stored == 1

    run(test)


class Panic(BaseException):
    """An exception that does not inherit from Exception, like a panic in an extension written in Rust."""


@pytest.mark.parametrize(
    ("error", "expected"), [(ValueError("no"), ValueError), (Panic("out of bounds"), Unavailable)]
)
def test_a_request_that_cannot_be_parsed_fails_alone(
    error: BaseException, expected: type[Exception]
) -> None:
    def fail() -> list[NewEvent]:
        raise error

    async def test(writer: Writer, store: SlowStore) -> None:
        store.may_commit.set()
        failed, stored = await asyncio.gather(
            writer.store(fail, 1), writer.store(one_event, 1), return_exceptions=True
        )

        assert isinstance(failed, expected)
        assert stored == BatchResult(stored=1)

    run(test)


def test_a_crash_of_the_store_client_fails_the_whole_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(writer: Writer, store: SlowStore) -> None:
        async def fail(requests: Sequence[Events]) -> list[Outcome]:
            raise RuntimeError("broken")

        store.commit = fail  # type: ignore[method-assign]
        tasks = [asyncio.create_task(writer.store(one_event, 1)) for _ in range(3)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert "broken" in caplog.text

    run(test)


def test_a_request_whose_client_disconnected_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse() -> list[NewEvent]:
        parsed.append(1)
        return one_event()

    async def test(writer: Writer, store: SlowStore) -> None:
        task = asyncio.create_task(writer.store(parse, 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settle()

        assert not parsed
        assert not store.batches

    run(test)
