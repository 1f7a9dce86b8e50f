"""Test that a cluster lock is held by one process at a time on the shared database."""

import threading
import time

import pytest
from django.db import connection, connections

from core.lib.locks import cluster_lock


@pytest.mark.django_db(transaction=True)
def test_on_postgresql_a_second_holder_waits_for_the_first() -> None:
    order: list[str] = []
    first_holds = threading.Event()

    def second() -> None:
        first_holds.wait(30)
        with cluster_lock("test"):
            order.append("second")
        connections.close_all()

    thread = threading.Thread(target=second)
    thread.start()
    with cluster_lock("test"):
        first_holds.set()
        time.sleep(0.3)
        order.append("first")
    thread.join()

    # On SQLite, the order may differ, because cluster locks do nothing there: a transaction locks the whole database.
    assert order == ["first", "second"] or connection.vendor == "sqlite"


@pytest.mark.django_db(transaction=True)
def test_locks_with_different_names_are_independent_and_are_released() -> None:
    for _ in range(2):
        with cluster_lock("one"), cluster_lock("another"):
            pass
