"""Test that the web process commits batches itself while the store process is unavailable, and then reconnects."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from errors.exceptions import NotStorable, Unavailable
from errors.store import process
from errors.store.commit import Events, Outcome
from errors.store.process import StoreClient
from errors.store.write import BatchResult


class StoreProcess:
    """A store process on a socket. It answers batches with `answer`. If `answer` is None, it closes the connection."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self.answer: list[process._WireOutcome] | None = []
        self.batches = 0
        self._served: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "StoreProcess":
        self._server = await asyncio.start_unix_server(self._accept, self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        self.address.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = process._LENGTH
        try:
            while True:
                (size,) = length.unpack(await reader.readexactly(length.size))
                await reader.readexactly(size)
                self.batches += 1
                if self.answer is None:
                    break
                answer = msgspec.msgpack.encode(self.answer)
                writer.write(length.pack(len(answer)) + answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def connected(address: Path) -> AsyncIterator[StoreClient]:
    client = StoreClient(address)
    try:
        yield client
    finally:
        client._disconnect()


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace commits in this process by a list, which is returned, of the sizes of the batches."""
    sizes: list[int] = []

    def commit(requests: Sequence[Events]) -> list[Outcome]:
        sizes.append(len(requests))
        return [BatchResult(stored=7) for _ in requests]

    monkeypatch.setattr(process, "commit", commit)
    return sizes


def stored(outcomes: list[Outcome]) -> list[int]:
    return [outcome.stored for outcome in outcomes if isinstance(outcome, BatchResult)]


def test_each_request_gets_its_own_outcome(tmp_path: Path, committed: list[int]) -> None:
    async def scenario() -> list[Outcome]:
        async with StoreProcess(tmp_path / "store") as store:
            store.answer = [
                process._WireOutcome(BatchResult(stored=1)),
                process._WireOutcome(None, "rejected by the database"),
                process._WireOutcome(None, "the store is unavailable", is_temporary=True),
            ]
            async with connected(store.address) as client:
                return await client.commit([[], [], []])

    first, second, third = asyncio.run(scenario())

    assert stored([first]) == [1]
    assert isinstance(second, NotStorable)
    assert isinstance(third, Unavailable)
    assert committed == []


def test_this_process_commits_a_batch_whose_store_process_ends(
    tmp_path: Path, committed: list[int]
) -> None:
    async def scenario() -> list[Outcome]:
        async with StoreProcess(tmp_path / "store") as store:
            store.answer = None
            async with connected(store.address) as client:
                outcomes = await client.commit([[], []])
            assert store.batches == 1
            return outcomes

    assert stored(asyncio.run(scenario())) == [7, 7]
    assert committed == [2]


def test_this_process_commits_each_batch_without_a_store_process(
    tmp_path: Path, committed: list[int]
) -> None:
    async def scenario() -> None:
        async with connected(tmp_path / "store") as client:
            await client.commit([[]])
            await client.commit([[]])

    asyncio.run(scenario())

    assert committed == [1, 1]


def test_the_client_reconnects_after_a_while_and_not_for_each_batch(
    tmp_path: Path, committed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    async def scenario() -> None:
        async with connected(tmp_path / "store") as client:
            await client.commit([[]])
            async with StoreProcess(tmp_path / "store") as store:
                store.answer = [process._WireOutcome(BatchResult(stored=1))]
                await client.commit([[]])
                assert store.batches == 0

                clock[0] += process.RECONNECT_SECONDS
                assert stored(await client.commit([[]])) == [1]
                assert store.batches == 1

    asyncio.run(scenario())

    assert committed == [1, 1]
