"""Two nodes that write to the same groups at once."""

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
        reason="part of the PostgreSQL run: on SQLite one writes at a time",
    ),
]


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def write_in_a_thread(app: ClientApp, *names: str) -> int:
    try:
        return write([new_error(app, group=name) for name in names]).stored
    finally:
        connection.close()


def wait_for_somebody_waiting() -> None:
    deadline = time.monotonic() + 10
    while not is_somebody_waiting():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_batch_with_a_group_to_look_up_locks_its_groups_in_their_order_all_the_same() -> None:
    group_cache.clear()
    app = make_app()
    unknown = make_error(
        app, group="unknown"
    ).group_id  # the lower id, and so the one to lock first
    known = make_error(app, group="known").group_id
    group_cache.remove([(app.pk, "unknown".ljust(32, "0"))])

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ErrorGroup.objects.select_for_update().get(pk=unknown)
            batch = pool.submit(write_in_a_thread, app, "known", "unknown")
            wait_for_somebody_waiting()
            ErrorGroup.objects.select_for_update(nowait=True).get(pk=known)

        assert batch.result(10) == 2
    assert set(ErrorGroup.objects.values_list("event_count", flat=True)) == {2}


def test_a_batch_that_a_deadlock_has_ended_is_written_all_the_same() -> None:
    group_cache.clear()
    app = make_app()
    first, second = (make_error(app, group=name).group_id for name in ("first", "second"))

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ErrorGroup.objects.select_for_update().get(pk=second)
            batch = pool.submit(write_in_a_thread, app, "first", "second")
            wait_for_somebody_waiting()
            # Who has waited longer looks first whether they wait for each other, and is ended.
            ErrorGroup.objects.select_for_update().get(pk=first)

        assert batch.result(10) == 2
    assert set(ErrorGroup.objects.values_list("event_count", flat=True)) == {2}
