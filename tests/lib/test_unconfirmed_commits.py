"""Test that a commit without the confirmation of a standby is an error, although PostgreSQL reports success."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler
from pytest_django.plugin import DjangoDbBlocker

from core.lib import durability
from tests.servers.postgres import PostgresServer, canceled_waits

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Start a primary without a standby, and cancel each commit's wait for one, as an operator might."""
    server = PostgresServer(options={"synchronous_standby_names": "nobody"})
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("SET synchronous_commit = local")
        admin.execute("CREATE TABLE item (id int PRIMARY KEY)")
    with canceled_waits(server):
        yield server
    server.stop()


@pytest.fixture(params=[False, {"min_size": 1, "max_size": 2}], ids=["direct", "pool"])
def own(
    server: PostgresServer,
    request: pytest.FixtureRequest,
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """Return a connection of the portal's database backend to the primary without a standby."""
    database = {
        "ENGINE": "core.lib.postgresql",
        "NAME": "postgres",
        "USER": "opsportal",
        "HOST": server.host,
        "PORT": server.port,
        "OPTIONS": {"pool": request.param and {**request.param}, "prepare_threshold": None},
    }
    with django_db_blocker.unblock():
        # Use an alias other than "default", because connections with the same alias share a pool.
        wrapper: Any = ConnectionHandler({"default": {}, "own": database})["own"]
        monkeypatch.setattr(durability, "connection", wrapper)
        with wrapper.cursor() as cursor:
            cursor.execute("SET synchronous_commit = local")
            cursor.execute("TRUNCATE item")
            cursor.execute("RESET synchronous_commit")
        yield wrapper
        wrapper.close()
        wrapper.close_pool()


def ids(own: Any) -> list[int]:
    with own.cursor() as cursor:
        cursor.execute("SELECT id FROM item ORDER BY 1")
        return [id for (id,) in cursor.fetchall()]


def test_an_unconfirmed_commit_of_a_transaction_raises(own: Any) -> None:
    own.set_autocommit(False)
    with own.cursor() as cursor:
        cursor.execute("INSERT INTO item VALUES (1)")

    with pytest.raises(OperationalError, match="not confirmed by a standby"):
        own.commit()

    own.rollback()
    own.set_autocommit(True)
    # The row is stored although its commit was not confirmed, so a repeated request finds it.
    assert ids(own) == [1]


def test_an_unconfirmed_statement_in_autocommit_mode_raises(own: Any) -> None:
    with own.cursor() as cursor, pytest.raises(OperationalError, match="not confirmed"):
        cursor.execute("INSERT INTO item VALUES (1)")

    assert ids(own) == [1]


def test_unconfirmed_statements_of_executemany_raise(own: Any) -> None:
    with own.cursor() as cursor, pytest.raises(OperationalError, match="not confirmed"):
        cursor.executemany("INSERT INTO item VALUES (%s)", [(1,), (2,)])


def test_an_unconfirmed_copy_raises(own: Any) -> None:
    def copy() -> None:
        with own.cursor() as cursor, cursor.copy("COPY item FROM STDIN") as stream:
            stream.write_row((1,))

    with own.wrap_database_errors, pytest.raises(psycopg.OperationalError, match="not confirmed"):
        copy()


def test_an_unconfirmed_statement_of_a_raw_cursor_raises(own: Any) -> None:
    own.ensure_connection()

    with psycopg.Cursor(own.connection) as cursor, pytest.raises(psycopg.OperationalError):
        cursor.execute("INSERT INTO item VALUES (1)")


def test_a_statement_after_an_unconfirmed_commit_does_not_raise(own: Any) -> None:
    with own.cursor() as cursor:
        with pytest.raises(OperationalError):
            cursor.execute("INSERT INTO item VALUES (1)")

        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_reads_and_relaxed_commits_do_not_wait_for_a_standby(own: Any) -> None:
    with own.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("INSERT INTO item VALUES (1)")
        cursor.execute("RESET synchronous_commit")

    assert ids(own) == [1]


def test_a_row_that_may_be_only_on_the_primary_does_not_count_as_stored(own: Any) -> None:
    with own.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("INSERT INTO item VALUES (1)")
    assert ids(own) == [1]

    with pytest.raises(OperationalError, match="not confirmed"):
        durability.ensure_replicated()


def test_a_write_on_a_server_that_is_not_the_primary_is_an_outage(own: Any) -> None:
    with own.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        with pytest.raises(OperationalError, match="read-only transaction"):
            cursor.execute("INSERT INTO item VALUES (1)")
        cursor.execute("RESET default_transaction_read_only")
