import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction

from opsportal.clients.models import ClientApp
from opsportal.lib.group_commit import GroupCommit, _Waiting
from tests.factories import make_app

pytestmark = pytest.mark.django_db(transaction=True)
sqlite_only = pytest.mark.skipif(
    connection.vendor != "sqlite",
    reason="part of the SQLite run: elsewhere each call runs by itself",
)


def in_threads(group: GroupCommit, count: int) -> list[object]:
    """Each thread makes an app, every third one fails after having made it."""
    barrier = threading.Barrier(count)

    @transaction.atomic
    def make(number: int) -> int:
        made = make_app(f"app-{number}").pk
        if number % 3 == 0:
            raise ValueError(number)
        return made

    def ask(number: int) -> object:
        barrier.wait(10)
        try:
            return group.run(lambda: make(number))
        except ValueError as error:
            return error.args[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_each_thread_gets_its_own_result_and_a_failure_undoes_only_itself() -> None:
    outcomes = in_threads(GroupCommit(), 12)

    for number, outcome in enumerate(outcomes):
        found = ClientApp.objects.filter(slug=f"app-{number}").first()
        if number % 3 == 0:
            assert (found, outcome) == (None, number)
        else:
            assert found
            assert outcome == found.pk


@sqlite_only
def test_threads_that_wait_for_one_commit_share_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    group, commits = GroupCommit(), []

    def counted(waiting: list[_Waiting]) -> None:
        commits.append(waiting)
        for one in waiting:
            one.is_done = True

    monkeypatch.setattr(group, "_commit", counted)

    def nothing() -> None: ...

    with ThreadPoolExecutor(7) as pool:
        with group._turn:  # a commit is under way
            asked = [pool.submit(group.run, nothing) for _ in range(7)]
            deadline = time.monotonic() + 10
            while len(group._queue) < 7 and time.monotonic() < deadline:
                time.sleep(0.005)
        for future in asked:
            future.result(10)

    assert [len(waiting) for waiting in commits] == [7]


@sqlite_only
def test_when_the_commit_fails_nothing_is_kept_and_everybody_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(connections["default"], "_commit", fails)
    with pytest.raises(OperationalError):
        GroupCommit().run(lambda: make_app("lost"))
    monkeypatch.undo()

    assert not ClientApp.objects.filter(slug="lost").exists()


def test_inside_a_transaction_that_one_decides() -> None:
    with transaction.atomic():
        GroupCommit().run(lambda: make_app("undone"))
        transaction.set_rollback(True)

    assert not ClientApp.objects.filter(slug="undone").exists()
