"""Test that only commits in a `relaxed_durability` block do not wait for the disk."""

import pytest
from django.db import connection, transaction

from core.lib.durability import relaxed_durability
from tests.factories import make_app


def commit_setting() -> str:
    """Return "durable" if the next commit waits for the disk, else "quick"."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous")
            return {1: "quick", 2: "durable"}[cursor.fetchone()[0]]
        cursor.execute("SHOW synchronous_commit")
        return {"off": "quick", "on": "durable"}[cursor.fetchone()[0]]


@pytest.fixture(autouse=True)
def durable(transactional_db: None) -> None:
    """Make SQLite wait for the disk on commit, as it does in production. The test settings turn this off."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=FULL")


def test_only_writes_inside_the_block_skip_the_sync() -> None:
    with relaxed_durability():
        inside = commit_setting()
        app = make_app()

    assert (inside, commit_setting()) == ("quick", "durable")
    app.refresh_from_db()


def test_an_exception_restores_full_durability() -> None:
    with pytest.raises(ZeroDivisionError), relaxed_durability():
        raise ZeroDivisionError

    assert commit_setting() == "durable"


def test_an_outer_transaction_takes_precedence() -> None:
    with transaction.atomic(), relaxed_durability():
        assert commit_setting() == "durable"
