"""The suite runs twice, on SQLite and on PostgreSQL with Redis. What is the same in both runs in one of them.

Such tests bring servers of their own, or touch no database. Whole files: `pytestmark = in_the_postgresql_run`.
"""

import pytest
from django.db import connection

in_the_sqlite_run = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="part of the SQLite run: the same in both"
)
in_the_postgresql_run = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="part of the PostgreSQL run: the same in both"
)
