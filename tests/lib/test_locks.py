"""One node at a time migrates and puts things in order, on the database all nodes share."""

import threading
import time

import pytest
from django.db import connection, connections

from opsportal.lib.locks import one_at_a_time


@pytest.mark.django_db(transaction=True)
def test_on_postgresql_a_second_holder_waits_for_the_first() -> None:
    order: list[str] = []
    first_holds = threading.Event()

    def second() -> None:
        first_holds.wait(30)
        with one_at_a_time("test"):
            order.append("second")
        connections.close_all()

    thread = threading.Thread(target=second)
    thread.start()
    with one_at_a_time("test"):
        first_holds.set()
        time.sleep(0.3)
        order.append("first")
    thread.join()

    # SQLite is one machine, where the write lock of each transaction does this.
    assert order == ["first", "second"] or connection.vendor == "sqlite"


@pytest.mark.django_db(transaction=True)
def test_locks_of_other_names_do_not_wait_and_nothing_is_left_held() -> None:
    for _ in range(2):
        with one_at_a_time("one"), one_at_a_time("another"):
            pass
