"""Test two nodes that write to the same groups at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from core.clients.models import ClientApp
from errors.models import ErrorGroup
from errors.store.groups import group_cache
from errors.store.write import write
from tests.errors.stored import make_error, new_error
from tests.factories import make_app

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql",
        reason="runs only on PostgreSQL: SQLite allows one writer at a time",
    ),
]


def has_lock_waiter() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def write_in_a_thread(app: ClientApp, *names: str) -> int:
    try:
        return write([new_error(app, group=name) for name in names]).stored
    finally:
        connection.close()


def wait_for_lock_waiter() -> None:
    deadline = time.monotonic() + 10
    while not has_lock_waiter():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_batch_with_an_uncached_group_locks_its_groups_in_order() -> None:
    group_cache.clear()
    app = make_app()
    # The group "unknown" needs the lower id, because writers lock groups in the order of their ids.
    unknown = make_error(app, group="unknown").group_id
    known = make_error(app, group="known").group_id
    group_cache.remove([(app.pk, "unknown".ljust(32, "0"))])

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ErrorGroup.objects.select_for_update().get(pk=unknown)
            batch = pool.submit(write_in_a_thread, app, "known", "unknown")
            wait_for_lock_waiter()
            ErrorGroup.objects.select_for_update(nowait=True).get(pk=known)

        assert batch.result(10) == 2
    assert set(ErrorGroup.objects.values_list("event_count", flat=True)) == {2}


def test_a_batch_is_written_again_after_a_deadlock() -> None:
    group_cache.clear()
    app = make_app()
    first, second = (make_error(app, group=name).group_id for name in ("first", "second"))

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ErrorGroup.objects.select_for_update().get(pk=second)
            batch = pool.submit(write_in_a_thread, app, "first", "second")
            wait_for_lock_waiter()
            # This lock completes a deadlock. PostgreSQL aborts the batch, which has waited longer and detects the
            # deadlock first.
            ErrorGroup.objects.select_for_update().get(pk=first)

        assert batch.result(10) == 2
    assert set(ErrorGroup.objects.values_list("event_count", flat=True)) == {2}
