"""Test that writes of several threads share one transaction."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from core.clients.models import ClientApp
from core.lib.group_commit import GroupCommit
from tests.factories import make_app

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="part of the SQLite run: it serves its one writer"
    ),
]


class Maker:
    """A writer that creates an app for each number, rejects every third number, and records its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.has_begun = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        self.has_begun.set()
        self.may_go_on.wait(60)
        return [
            ValueError(number) if number % 3 == 0 else make_app(f"app-{number}").pk
            for number in numbers
        ]


def ask_for(group: GroupCommit[int, int], numbers: Sequence[int]) -> list[object]:
    """Request each number in a separate thread, and return the results or exceptions in the same order."""

    def ask(number: int) -> object:
        try:
            return group.run(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(ask, numbers))


def until_waiting(group: GroupCommit[int, int], count: int) -> None:
    deadline = time.monotonic() + 60
    while group.thread.waiting_count() < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_each_thread_gets_its_own_result_after_the_commit() -> None:
    outcomes = ask_for(GroupCommit(Maker()), range(12))

    for number, outcome in enumerate(outcomes):
        found = ClientApp.objects.filter(slug=f"app-{number}").first()
        if number % 3 == 0:
            assert (found, type(outcome)) == (None, ValueError)
        else:
            assert found
            assert outcome == found.pk


def test_threads_waiting_during_a_commit_share_the_next_one() -> None:
    maker = Maker()
    maker.may_go_on.clear()
    group = GroupCommit(maker)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(group.run, 1)]
        # The first commit is in progress, so further requests must wait.
        assert maker.has_begun.wait(60)
        asked += [pool.submit(group.run, number) for number in (2, 4, 5, 7, 8, 10, 11)]
        until_waiting(group, 7)
        maker.may_go_on.set()
        made = {future.result(10) for future in asked}

    assert [sorted(batch) for batch in maker.batches] == [[1], [2, 4, 5, 7, 8, 10, 11]]
    assert made == set(ClientApp.objects.values_list("pk", flat=True))


def test_a_failing_write_does_not_fail_the_rest_of_its_batch() -> None:
    make_app("app-2")  # A second app with this name violates a constraint.
    maker = Maker()
    maker.may_go_on.clear()
    group = GroupCommit(maker)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(group.run, 1)
        assert maker.has_begun.wait(60)
        poison, other = pool.submit(group.run, 2), pool.submit(group.run, 4)
        until_waiting(group, 2)
        maker.may_go_on.set()

        assert isinstance(poison.exception(10), IntegrityError)
        assert [first.result(10), other.result(10)] == [
            ClientApp.objects.get(slug=f"app-{number}").pk for number in (1, 4)
        ]


def test_a_failed_commit_fails_the_whole_batch_and_the_next_one_works() -> None:
    def fails(numbers: Sequence[int]) -> list[int | Exception]:
        made: list[int | Exception] = [make_app(f"lost-{number}").pk for number in numbers]
        if 13 in numbers:
            raise OperationalError("disk I/O error")
        return made

    group = GroupCommit(fails)
    [error] = ask_for(group, [13])

    assert isinstance(error, OperationalError)
    assert not ClientApp.objects.filter(slug="lost-13").exists()
    assert ask_for(group, [14]) == [ClientApp.objects.get(slug="lost-14").pk]


def test_an_outer_transaction_takes_precedence() -> None:
    with transaction.atomic():
        GroupCommit(Maker()).run(1)
        transaction.set_rollback(True)

    assert not ClientApp.objects.filter(slug="app-1").exists()
